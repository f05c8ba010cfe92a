"""Images of the user's own in an `.npz` or `.npy` file. Nothing is ever unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

from vae_jax.data.arrays import Images, as_labels, as_pixels, from_splits

TRAIN_KEYS = ("train", "x_train", "images", "x")
TEST_KEYS = ("test", "x_test")
TRAIN_LABEL_KEYS = ("train_labels", "y_train", "labels", "y")
TEST_LABEL_KEYS = ("test_labels", "y_test")


def load_array_file(path: str) -> Images:
    """Images from an `.npz` or `.npy` file.

    An `.npy` file holds the images. In an `.npz` file they are under the first of `train`, `x_train`, `images`, `x`
    that is there, or are its only array of 3 or 4 axes; test images under `test` or `x_test`; labels under
    `train_labels`, `y_train`, `labels` or `y`, and `test_labels` or `y_test`. Without test images a fixed tenth of the
    images is held out (`numpy.random.RandomState(0)`).

    Args:
      path: The file. Images are `[N, H, W]` or `[N, H, W, C]` with C = 1 or 3, of dtype uint8 (0 to 255), bool, or
        floating in [0, 1], which become round(255 x). uint8 whose only values are 0 and 1 is binary: 0 and 255.

    Returns:
      `Images`.

    Raises:
      ValueError: where the file is missing or unreadable, holds no images or too few, pixels that are not finite or lie
        outside [0, 1], labels of another length, or Python objects (which would have to be unpickled).
      TypeError: for another dtype of pixels or labels.
    """
    if not os.path.isfile(path):
        raise ValueError(f"{path}: expected an .npz or .npy file, got a path with no file there.")
    headers = _headers(path)
    train_key = "" if "" in headers else _train_key(path, headers)
    test_key = _first(TEST_KEYS, headers)

    def read(key: str) -> np.ndarray:
        if headers[key][1].hasobject:
            raise ValueError(_objects(_where(path, key), headers[key][1]))
        with _reporting(path), _open(path, key) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def read_labels(keys: tuple[str, ...], count: int) -> np.ndarray | None:
        key = _first(keys, headers)
        return None if key is None else as_labels(read(key), count, _where(path, key))

    train, test, test_labels = as_pixels(read(train_key), _where(path, train_key)), None, None
    train_labels = read_labels(TRAIN_LABEL_KEYS, len(train))
    if test_key is not None:
        test = as_pixels(read(test_key), _where(path, test_key))
        test_labels = read_labels(TEST_LABEL_KEYS, len(test))
        if test.shape[1:] != train.shape[1:]:
            raise ValueError(
                f"{_where(path, test_key)}: expected test images of the shape of the train images, "
                f"{train.shape[1:]}, got {test.shape[1:]}."
            )
    elif orphan := _first(TEST_LABEL_KEYS, headers):
        raise ValueError(
            f"{_where(path, orphan)}: expected test images under {' or '.join(TEST_KEYS)} beside test labels, got none."
        )
    return from_splits(os.path.basename(path), train, train_labels, test, test_labels)


Headers = dict[str, tuple[tuple[int, ...], np.dtype]]


def _first(keys: tuple[str, ...], headers: Headers) -> str | None:
    return next((key for key in keys if key in headers), None)


def _where(path: str, key: str) -> str:
    return f"{path}, key '{key}'" if key else path


def _train_key(path: str, headers: Headers) -> str:
    if key := _first(TRAIN_KEYS, headers):
        return key
    candidates = [key for key, (shape, _) in headers.items() if len(shape) in (3, 4) and key not in TEST_KEYS]
    if len(candidates) == 1:
        return candidates[0]
    given = ", ".join(f"'{key}' {dtype} {list(shape)}" for key, (shape, dtype) in headers.items())
    raise ValueError(
        f"{path}: expected images under one of the keys {', '.join(TRAIN_KEYS)}, or one single array of 3 or 4 axes, "
        f"got {given or 'an empty file'}."
    )


@contextmanager
def _reporting(path: str) -> Iterator[None]:
    """Turns what a damaged or foreign file makes numpy and zipfile raise into one sentence."""
    try:
        yield
    # NotImplementedError is zipfile's own, for a compression method that it does not know.
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"{path}: expected a file written by numpy.savez or numpy.save; cannot read it: {reason}"
        ) from error


@contextmanager
def _open(path: str, key: str) -> Iterator[IO[bytes]]:
    """The stream of one array; the key of an `.npy` file's only array is ''."""
    if not key:
        with open(path, "rb") as file:
            yield file
    else:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            yield file


def _headers(path: str) -> Headers:
    """Shape and dtype of every array, without reading (let alone unpickling) its contents."""
    with _reporting(path):
        keys = [""]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        headers = {}
        for key in keys:
            with _open(path, key) as file:
                shape, _, dtype = _read_header(file)
                headers[key] = (shape, dtype)
        return headers


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, dtype."""
    version = np.lib.format.read_magic(file)
    # Version 3 differs from 2 only in the encoding of the field names that structured dtypes have.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _objects(where: str, dtype: np.dtype) -> str:
    return (
        f"{where}: expected an array of numbers, got dtype {dtype}, which would have to be unpickled; save a "
        "rectangular array, such as np.stack(list_of_images)."
    )


def npy_layout(path: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and offset in bytes of the array of an `.npy` file, from its header.

    Raises:
      ValueError: where there is no such file, or one that holds Python objects, is stored column by column, or is
        shorter than its header says.
    """
    if not os.path.isfile(path):
        raise ValueError(f"{path}: expected an .npy file, got a path with no file there.")
    with _reporting(path), open(path, "rb") as file:
        shape, by_column, dtype = _read_header(file)
        start, end = file.tell(), file.seek(0, os.SEEK_END)
    if dtype.hasobject:
        raise ValueError(_objects(path, dtype))
    if by_column and len(shape) > 1:
        raise ValueError(
            f"{path}: expected images one after the other, got an array in Fortran order; save it again "
            "with numpy.ascontiguousarray."
        )
    if end - start < int(np.prod(shape)) * dtype.itemsize:
        raise ValueError(f"{path}: expected an array of shape {shape}, got a file that has been cut short.")
    return shape, dtype, start
