"""Images that stay on disk and are read by index, for data larger than memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vae_jax.data._arrays import as_pixels, held_out
from vae_jax.data._checks import as_integer, integer_between
from vae_jax.data._files import npy_layout


class ImageSource(Protocol):
    """Images of one shape that can be read in any order, from any number of threads at once.

    A source may have a JSON-like attribute `identity` for `fingerprint`: what identifies all its images without reading
    them (names, sizes).

    Attributes:
      shape: (N, H, W, C), with C = 1 or 3.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images at these indices (0 to N - 1), uint8 `[n, H, W, C]`; ValueError if an image cannot be read."""
        ...


class ArrayImages:
    """Images in memory, uint8 `[N, H, W, C]`."""

    def __init__(self, images: np.ndarray):
        self._images = images
        self.shape = images.shape

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._images[np.asarray(indices)]


class NpyImages:
    """Images of an `.npy` file, `[N, H, W]` or `[N, H, W, C]` of any dtype that `load_array_file` accepts.

    Each image is one positioned read into the batch. A memory map would be faster, but its pages count as resident
    memory of this process: after an epoch, the whole file.

    Raises:
      ValueError, TypeError: If `load_array_file` would not accept the file, or the array is in Fortran order.
    """

    def __init__(self, path: str):
        shape, self._dtype, self._start = npy_layout(path)
        # Reports a wrong shape or dtype before any image is read.
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
        """Images at these indices, uint8 `[n, H, W, C]`.

        Raises:
          ValueError: If floats are outside [0, 1] or not finite, or the file has been cut short.
        """
        content = bytearray(len(indices) * self._bytes)
        view = memoryview(content)
        for row, index in enumerate(np.asarray(indices).tolist()):
            target = view[row * self._bytes : (row + 1) * self._bytes]
            if os.preadv(self._file, [target], self._start + index * self._bytes) != self._bytes:
                raise ValueError(f"{self._path}: image {index} is missing: the file has been cut short.")
        images = np.frombuffer(content, self._dtype).reshape(len(indices), *self._image_shape)
        return as_pixels(images, self._path)


class Excluding:
    """Images of a source without those at the excluded indices, in the order of the source.

    Memory: the excluded indices.

    Args:
      source: Source of all images.
      places: Excluded indices, in ascending order, each once.
    """

    def __init__(self, source: ImageSource, places: np.ndarray):
        self.source = source
        self.identity = getattr(source, "identity", None)  # `fingerprint` notices the exclusion in the images it reads
        # Number of remaining images before each excluded image.
        self._kept_before = places - np.arange(len(places))
        self.shape = (source.shape[0] - len(places), *source.shape[1:])

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        places = np.asarray(indices)
        return self.source.read(places + np.searchsorted(self._kept_before, places, side="right"))


class BlackAndWhite:
    """A binary source with pixels of 0 and 1 mapped to 0 and 255."""

    def __init__(self, source: ImageSource, where: str):
        self.source = source
        self.identity = getattr(source, "identity", None)
        self._where = where
        self.shape = source.shape

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return black_and_white(self.source.read(indices), self._where)


def black_and_white(images: np.ndarray, where: str) -> np.ndarray:
    """Maps pixels of 0 and 1 to 0 and 255.

    Raises:
      ValueError: If a pixel has another value; `where` names the source.
    """
    if images.max(initial=0) > 1:
        raise ValueError(
            f"{where}: expected pixels of 0 and 1, as in all images that were inspected first, got a pixel of "
            f"{images.max()}; store black and white as 0 and 255."
        )
    return images * np.uint8(255)


def hold_out(source: ImageSource, count: int, seed: int) -> tuple[ImageSource, np.ndarray]:
    """Holds out `count` random images of a source and reads them into memory.

    Args:
      source: N images.
      count: Number of held-out images, 1 to N - 1.
      seed: Random seed of the choice, 0 to 2^32 - 1.

    Returns:
      A source of the remaining images, and the held-out images, uint8 `[count, H, W, C]`.

    Raises:
      ValueError: If count or seed is out of range.
    """
    total, count, seed = source.shape[0], as_integer("count", count), integer_between("seed", seed, 0, 2**32 - 1)
    if not 1 <= count < total:
        raise ValueError(f"count must be between 1 and {total - 1} for {total} images, got {count}")
    places = held_out(total, count, seed)
    return Excluding(source, places), source.read(places)


def evenly_spaced(total: int, most: int) -> np.ndarray:
    """Indices 0 to total - 1, or `most` evenly spaced ones if there are more."""
    count = min(total, most)
    return np.arange(count) * total // count


def mean_image(source: ImageSource, most: int = 10_000) -> np.ndarray:
    """Mean image of a source, float64 `[H, W, C]`, 0 to 255; of `most` evenly spaced images if it has more.

    It initializes the output bias of decoders. For a random sample its standard error is at most 255 / (2 sqrt(most)).
    """
    places, block = evenly_spaced(source.shape[0], integer_between("most", most, 1, sys.maxsize)), 500
    total = np.zeros(source.shape[1:])
    for start in range(0, len(places), block):
        total += source.read(places[start : start + block]).sum(axis=0, dtype=np.float64)
    return total / len(places)
