"""Where a convolution puts its kernel: sizes of image, kernel and output, stride and padding."""

from __future__ import annotations

from typing import NamedTuple


class Geometry(NamedTuple):
    """Of a convolution: output pixel i reads the image's pixels from stride * i - padding on."""

    image: tuple[int, int]  # H, W
    kernel: tuple[int, int]  # kh, kw
    stride: int
    padding: int  # zeros at each of the four sides

    @property
    def output(self) -> tuple[int, int]:
        """h, w: of all places where the kernel fits."""
        height, width = (
            (n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(self.image, self.kernel, strict=True)
        )
        return height, width
