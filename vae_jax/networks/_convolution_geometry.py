"""Geometry of a convolution: sizes of image, kernel and output, stride and padding."""

from __future__ import annotations

from typing import NamedTuple


class Geometry(NamedTuple):
    """Sizes, stride and padding of a convolution: output pixel i reads image pixels from stride * i - padding on."""

    image: tuple[int, int]  # H, W
    kernel: tuple[int, int]  # kh, kw
    stride: int
    padding: int  # number of zeros at each of the four sides

    @property
    def output(self) -> tuple[int, int]:
        """Output size (h, w): the number of places where the kernel fits."""
        height, width = (
            (n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(self.image, self.kernel, strict=True)
        )
        return height, width
