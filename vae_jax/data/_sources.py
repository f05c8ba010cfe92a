"""Images that stay where they are stored and are read by their places: for data larger than memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vae_jax.data._arrays import as_pixels, held_out
from vae_jax.data._checks import whole, whole_number
from vae_jax.data._files import npy_layout


class ImageSource(Protocol):
    """Images of one shape that can be read in any order, from any number of threads at once.

    A source may have an attribute `identity`, JSON-like: what it knows of all its images without reading them, for
    `fingerprint`.

    Attributes:
      shape: (N, H, W, C), with C = 1 or 3.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places (0 to N - 1), uint8 `[n, H, W, C]`; ValueError for one that cannot be read."""
        ...


class ArrayImages:
    """Images that are in memory already, uint8 `[N, H, W, C]`."""

    def __init__(self, images: np.ndarray):
        self._images = images
        self.shape = images.shape

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._images[np.asarray(indices)]


class NpyImages:
    """Images of an `.npy` file, `[N, H, W]` or `[N, H, W, C]` of any dtype that `load_array_file` takes.

    Each image is one positioned read into the batch. A memory map is faster still, but its pages count as resident
    memory of this process: over an epoch, the whole file.

    Raises:
      ValueError, TypeError: where the file is none that `load_array_file` reads, or is stored column by column.
    """

    def __init__(self, path: str):
        shape, self._dtype, self._start = npy_layout(path)
        # What is wrong with shape or dtype is said before any image is read.
        as_pixels(np.zeros((min(shape[0], 1), *shape[1:]), self._dtype), path)
        self._path = path
        self._image_shape = shape[1:]
        self._bytes = int(np.prod(shape[1:])) * self._dtype.itemsize
        self.shape = shape if len(shape) == 4 else (*shape, 1)
        self.identity = ["npy", self._start, str(self._dtype), os.path.getsize(path)]
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, uint8 `[n, H, W, C]`.

        Raises:
          ValueError: for floats outside [0, 1] or not finite, and where the file has been cut short.
        """
        content = bytearray(len(indices) * self._bytes)
        view = memoryview(content)
        for row, index in enumerate(np.asarray(indices).tolist()):
            target = view[row * self._bytes : (row + 1) * self._bytes]
            if os.preadv(self._file, [target], self._start + index * self._bytes) != self._bytes:
                raise ValueError(f"{self._path}: image {index} is not there: the file has been cut short.")
        images = np.frombuffer(content, self._dtype).reshape(len(indices), *self._image_shape)
        return as_pixels(images, self._path)


class Excluding:
    """A source's images but for those at some places, in the order they have there.

    Holds the places that are left out, not those that are left.

    Args:
      source: of all images.
      places: in ascending order, each once.
    """

    def __init__(self, source: ImageSource, places: np.ndarray):
        self.source = source
        self.identity = getattr(source, "identity", None)  # the places show in what is read
        # How many images are kept before each that is left out.
        self._kept_before = places - np.arange(len(places))
        self.shape = (source.shape[0] - len(places), *source.shape[1:])

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        places = np.asarray(indices)
        return self.source.read(places + np.searchsorted(self._kept_before, places, side="right"))


class BlackAndWhite:
    """A binary source's pixels of 0 and 1 as 0 and 255."""

    def __init__(self, source: ImageSource, where: str):
        self.source = source
        self.identity = getattr(source, "identity", None)
        self._where = where
        self.shape = source.shape

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return black_and_white(self.source.read(indices), self._where)


def black_and_white(images: np.ndarray, where: str) -> np.ndarray:
    """Pixels of 0 and 1 as 0 and 255.

    Raises:
      ValueError: for another pixel; `where` names the source.
    """
    if images.max(initial=0) > 1:
        raise ValueError(
            f"{where}: all pixels looked at first were 0 or 1, as in a binary data set, and now one is "
            f"{images.max()}; store black and white as 0 and 255."
        )
    return images * np.uint8(255)


def hold_out(source: ImageSource, count: int, seed: int) -> tuple[ImageSource, np.ndarray]:
    """Holds out `count` images, chosen as `seed` says: (a source of the others, those images).

    Args:
      source: N images.
      count: 1 to N - 1; so many are read into memory.
      seed: 0 to 2^32 - 1.

    Raises:
      ValueError: for another count.
    """
    total, count, seed = source.shape[0], whole("count", count), whole_number("seed", seed, 0, 2**32 - 1)
    if not 1 <= count < total:
        raise ValueError(f"count must be between 1 and {total - 1}, of {total} images, got {count}")
    places = held_out(total, count, seed)
    return Excluding(source, places), source.read(places)


def evenly_spaced(total: int, most: int) -> np.ndarray:
    """Places 0 to total - 1, or `most` of them, evenly spaced, where there are more."""
    count = min(total, most)
    return np.arange(count) * total // count


def mean_image(source: ImageSource, most: int = 10_000) -> np.ndarray:
    """The mean of the source's images (of `most` evenly spaced ones, where it has more), float64 `[H, W, C]`, 0 to 255.

    What a decoder's output bias begins at. The standard error of a random sample's is at most 255 / (2 sqrt(most)).
    """
    places, block = evenly_spaced(source.shape[0], whole_number("most", most, 1, sys.maxsize)), 500
    total = np.zeros(source.shape[1:])
    for start in range(0, len(places), block):
        total += source.read(places[start : start + block]).sum(axis=0, dtype=np.float64)
    return total / len(places)
