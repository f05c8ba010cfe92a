"""The user's own images in an `.npz` or `.npy` file. Nothing is ever unpickled."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from vae_jax.data._arrays import Images, as_labels, as_pixels, from_splits
from vae_jax.data._checks import require_memory

TRAIN_KEYS = ("train", "x_train", "images", "x")
TEST_KEYS = ("test", "x_test")
VALIDATION_KEYS = ("validation", "valid", "val", "x_validation", "x_valid", "x_val")
TRAIN_LABEL_KEYS = ("train_labels", "y_train", "labels", "y")
TEST_LABEL_KEYS = ("test_labels", "y_test")
VALIDATION_LABEL_KEYS = tuple(
    label for name in ("validation", "valid", "val") for label in (f"{name}_labels", f"y_{name}")
)
# Deflate expands one byte to at most 1,032 (bzip2 and LZMA to more); numpy's archives are deflated or stored.
_MOST_EXPANSION = 1_100
Split = tuple[np.ndarray, np.ndarray | None]  # uint8 [N, H, W, C], and labels int32 [N] or None


def load_array_file(path: str | Path) -> Images:
    """Loads images from an `.npz` or `.npy` file.

    An `.npy` file holds the images. In an `.npz` file training images are under the first existing key of `train`,
    `x_train`, `images`, `x`, or are the only array of 3 or 4 axes. Test images are under `test` or `x_test`, validation
    images under `validation`, `valid`, `val`, `x_validation`, `x_valid` or `x_val`; labels under `train_labels`,
    `y_train`, `labels` or `y`, `test_labels` or `y_test`, and so on. Without test images a fixed tenth of the images is
    held out (`numpy.random.RandomState(0)`). The note names unused arrays.

    Args:
      path: The file. Images are `[N, H, W]` or `[N, H, W, C]` with C = 1 or 3, of dtype uint8 (0 to 255), bool, or
        floating in [0, 1]; floats x become round(255 x). uint8 images of 0 and 1 only are binary: 0 and 255.

    Returns:
      `Images`.

    Raises:
      ValueError: If the file is missing or unreadable, holds no images or too few, holds pixels that are not finite or
        outside [0, 1], labels of another length or Python objects (which would have to be unpickled), claims more in
        its header than it holds, or does not fit into free memory.
      TypeError: If pixels or labels have another dtype.
    """
    splits = read_array_file(path)
    test, test_labels = splits.test or (None, None)
    validation, validation_labels = splits.validation or (None, None)
    return from_splits(
        os.path.basename(path), *splits.train, test, test_labels, splits.note, validation, validation_labels
    )


class ArraySplits(NamedTuple):
    """Images and labels of a file, in its own splits."""

    train: Split
    test: Split | None
    validation: Split | None
    note: str  # names of unused arrays


def read_array_file(path: str | Path) -> ArraySplits:
    """Reads the splits of a file and holds none out; raises as `load_array_file`."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"{path}: expected an .npz or .npy file, got a path with no file there.")
    headers = _headers(path)
    used: list[str] = []
    train_key = "" if "" in headers else _train_key(path, headers)

    def read(key: str) -> np.ndarray:
        used.append(key)
        _check(_where(path, key), headers[key])
        with _reporting(path), _open(path, key) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def read_labels(keys: tuple[str, ...], count: int) -> np.ndarray | None:
        key = _first(keys, headers)
        return None if key is None else as_labels(read(key), count, _where(path, key))

    def read_split(keys: tuple[str, ...], label_keys: tuple[str, ...], what: str) -> Split | None:
        key = _first(keys, headers)
        if key is None:
            if orphan := _first(label_keys, headers):
                raise ValueError(
                    f"{_where(path, orphan)}: expected {what} images under the key {' or '.join(keys)} beside the "
                    f"{what} labels, got none."
                )
            return None
        images = as_pixels(read(key), _where(path, key))
        if images.shape[1:] != train.shape[1:]:
            raise ValueError(
                f"{_where(path, key)}: expected {what} images of the same shape as the train images, "
                f"{train.shape[1:]}, got {images.shape[1:]}."
            )
        return images, read_labels(label_keys, len(images))

    train = as_pixels(read(train_key), _where(path, train_key))
    train_labels = read_labels(TRAIN_LABEL_KEYS, len(train))
    test = read_split(TEST_KEYS, TEST_LABEL_KEYS, "test")
    validation = read_split(VALIDATION_KEYS, VALIDATION_LABEL_KEYS, "validation")
    unused = [key for key in headers if key not in used]
    note = f"; not used: {', '.join(unused[:5])}{', ...' if len(unused) > 5 else ''}" if unused else ""
    return ArraySplits((train, train_labels), test, validation, note)


class Header(NamedTuple):
    """Description of one array, from the header in its file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool
    start: int  # offset in bytes of the array's data
    stored: int  # bytes of data in the file, or claimed by the archive
    packed: int | None  # compressed bytes in an archive


Headers = dict[str, Header]


def _first(keys: tuple[str, ...], headers: Headers) -> str | None:
    return next((key for key in keys if key in headers), None)


def _where(path: str, key: str) -> str:
    return f"{path}, key '{key}'" if key else path


def _train_key(path: str, headers: Headers) -> str:
    if key := _first(TRAIN_KEYS, headers):
        return key
    others = (*TEST_KEYS, *VALIDATION_KEYS)
    candidates = [key for key, header in headers.items() if len(header.shape) in (3, 4) and key not in others]
    if len(candidates) == 1:
        return candidates[0]
    given = ", ".join(f"'{key}' {header.dtype} {list(header.shape)}" for key, header in headers.items())
    raise ValueError(
        f"{path}: expected images under one of the keys {', '.join(TRAIN_KEYS)}, or a single array of 3 or 4 axes, "
        f"got the arrays {given}."
        if given
        else f"{path}: expected images under one of the keys {', '.join(TRAIN_KEYS)}, got an empty file."
    )


@contextmanager
def _reporting(path: str) -> Iterator[None]:
    """Turns errors of numpy and zipfile on a damaged or foreign file into a ValueError of one sentence."""
    try:
        yield
    except Exception as error:  # numpy, zipfile and the decompressors raise errors of any type on a damaged file
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path}: expected a file written by numpy.savez or numpy.save; cannot read it: {reason}"
        ) from error


@contextmanager
def _open(path: str, key: str) -> Iterator[IO[bytes]]:
    """Opens the stream of one array; the only array of an `.npy` file has the key ''."""
    if not key:
        with open(path, "rb") as file:
            yield file
    else:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            yield file


def _headers(path: str) -> Headers:
    """Reads the header of every array, without reading (let alone unpickling) its contents."""
    with _reporting(path):
        members: dict[str, zipfile.ZipInfo | None] = {"": None}
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                named = {info.filename: info for info in archive.infolist()}
            members = {name.removesuffix(".npy"): info for name, info in named.items() if name.endswith(".npy")}
        headers = {}
        for key, info in members.items():
            with _open(path, key) as file:
                shape, by_column, dtype = _read_header(file)
                start = file.tell()
            size, packed = (os.path.getsize(path), None) if info is None else (info.file_size, info.compress_size)
            headers[key] = Header(shape, dtype, by_column, start, size - start, packed)
        return headers


def _check(where: str, header: Header) -> None:
    """Raises, before memory is allocated, if an array cannot be what its header says."""
    if header.dtype.hasobject:
        raise ValueError(_objects(where, header.dtype))
    needed = math.prod(header.shape) * header.dtype.itemsize
    if min(header.shape, default=0) < 0 or needed > header.stored:
        raise ValueError(
            f"{where}: expected a file written by numpy.savez or numpy.save; cannot read it: its header claims an "
            f"array of shape {header.shape}, {needed:,} bytes, but the file holds {max(0, header.stored):,}: it has "
            "been cut short or is damaged."
        )
    if header.packed is not None and header.stored > _MOST_EXPANSION * (header.packed + 1):
        raise ValueError(
            f"{where}: expected a file written by numpy.savez; cannot read it: it claims to expand {header.packed:,} "
            f"bytes to {header.stored:,}, more than {_MOST_EXPANSION:,} times as many."
        )
    remedy = "save fewer or smaller images, or save them as an .npy file and --stream it"
    require_memory(f"{where}: an array of shape {header.shape}", needed, remedy)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, True for Fortran order, and dtype."""
    version = np.lib.format.read_magic(file)
    # Version 3 differs from 2 only in the encoding of the field names of structured dtypes.
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
      ValueError: If there is no such file, or it holds Python objects, is in Fortran order, or is shorter than its
        header says.
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
    if min(shape, default=0) < 0 or end - start < math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{path}: expected an array of shape {shape}, got a file that has been cut short.")
    return shape, dtype, start
