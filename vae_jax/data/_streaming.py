"""Data sets larger than memory: training images stay on disk, test and validation images are in memory."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_jax.data._arrays import HOLD_OUT_NOTE, held_out_tenth, split_sizes
from vae_jax.data._checks import integer_between
from vae_jax.data._digits import load_digits
from vae_jax.data._factor_sets import RENDERED, RenderedImages
from vae_jax.data._factors import FactorData, factors_of
from vae_jax.data._folder import PictureFiles, list_folder
from vae_jax.data._kinds import image_kind_of
from vae_jax.data._sources import ArrayImages, BlackAndWhite, Excluding, ImageSource, NpyImages, evenly_spaced
from vae_jax.data._tfds_images import open_tfds

_BLOCK = 512  # images decoded and written at once


@dataclasses.dataclass(frozen=True, eq=False)
class ImageStream:
    """A data set like `Images`, but with training images that are read on demand.

    Attributes:
      name: Name of the data set.
      train: N >= 1 images of one shape; `hold_out` takes a validation set from it, `Batches` reads it.
      test: uint8 `[M, H, W, C]`, in memory.
      test_labels: int32 `[M]`, or None.
      note: Provenance and protocol in a sentence, to be printed beside any number measured on the images.
      validation: uint8 `[K, H, W, C]`, in memory, or None if the source has no validation split.
    """

    name: str
    train: ImageSource
    test: np.ndarray
    test_labels: np.ndarray | None
    note: str
    validation: np.ndarray | None = None


def stream_images(
    data: str | Path,
    data_dir: str | Path | None = None,
    *,
    size: Sequence[int] | None = None,
    most_test: int = 10_000,
) -> ImageStream:
    """Opens the images that `data` names without reading the training images.

    Splits, order and pixels are those of `load_images`. Memory grows by a few bytes or a path per image. The headers of
    all files of a folder are read once. The data set counts as binary (0 and 1 become 0 and 255) if the test and
    validation images and 1,000 of the training images hold only 0 and 1.

    Args:
      data: `digits`, a rendered data set (`sprites`, ...), a path ending in `.npy`, a folder or a TFDS name; an `.npz`
        file cannot be streamed.
      data_dir: The TFDS data directory, as for `load_images`.
      size: (height, width) to which the pictures of a folder are resized. Default: not resized.
      most_test: Largest number of test and of validation images; of larger splits evenly spaced images are used, and
        the note says so.

    Raises:
      ValueError, TypeError: As `load_images`; and if data is an `.npz` file.
    """
    most_test = integer_between("most_test", most_test, 1, 2**31 - 1)
    kind, path = image_kind_of(data, size), os.fspath(data)
    if kind == "digits":
        digits = load_digits()
        return ImageStream(path, ArrayImages(digits.train), digits.test, digits.test_labels, digits.note)
    if kind == "rendered":
        return _rendered(RENDERED[path], most_test)
    if kind == "array file":
        if not path.lower().endswith(".npy"):
            raise ValueError(
                f"{path}: an .npz file cannot be streamed; save its images with numpy.save as an .npy file."
            )
        source = NpyImages(path)
        places = held_out_tenth(source.shape[0], path)
        return _stream(os.path.basename(path), source, places, None, HOLD_OUT_NOTE, most_test)
    if kind == "folder":
        folder = list_folder(path)
        files = PictureFiles(folder.files, size)
        places, protocol = _places(folder.test), "the source's own splits"
        if not len(places):
            places = held_out_tenth(folder.train.stop, folder.name)
            protocol = HOLD_OUT_NOTE
        validation = _places(folder.validation)
        return _stream(
            folder.name, files, places, folder.labels, protocol + folder.note + files.note, most_test, validation
        )
    return _stream_tfds(path, None if data_dir is None else os.fspath(data_dir), most_test)


def _places(part: slice) -> np.ndarray:
    return np.arange(part.start, part.stop)


def _stream_tfds(data: str, data_dir: str | None, most_test: int) -> ImageStream:
    opened = open_tfds(data, data_dir)
    train: ImageSource = opened.train
    if opened.test is None:
        places = held_out_tenth(opened.train.shape[0], f"TFDS data set {data!r}")
        train, test_source = Excluding(train, places), opened.train
    else:
        places, test_source = np.arange(opened.test.shape[0]), opened.test
    kept = places[evenly_spaced(len(places), most_test)]
    test, test_labels = test_source.read_labeled(kept)
    note = opened.note(train.shape[0], len(places)) + _used_note(len(kept), len(places))
    return _expand_binary(ImageStream(data, train, test, test_labels, note))


def _rendered(data: FactorData, most_test: int) -> ImageStream:
    """Stream of a rendered data set; the label is the first factor (for sprites, the shape)."""
    labels = np.asarray(factors_of(np.arange(data.num_images), data.factor_sizes)[0])
    places = held_out_tenth(data.num_images, data.name)
    return _stream(data.name, RenderedImages(data), places, labels, f"{HOLD_OUT_NOTE}; {data.note}", most_test)


def _stream(
    name: str,
    source: ImageSource,
    places: np.ndarray,
    labels: np.ndarray | None,
    protocol: str,
    most_test: int,
    validation: np.ndarray | None = None,
) -> ImageStream:
    """Stream of a source whose images at `places` are test images and at `validation` validation images.

    Both index arrays are in ascending order.
    """
    validation = np.arange(0) if validation is None else validation
    kept = places[evenly_spaced(len(places), most_test)]
    train = Excluding(source, np.sort(np.concatenate([places, validation])))
    note = f"{name}: {split_sizes(train.shape[0], len(places), len(validation) or None)}, {protocol}"
    note += _used_note(len(kept), len(places))
    validation_images = None
    if len(validation):
        validation_images = source.read(validation[evenly_spaced(len(validation), most_test)])
        if len(validation_images) < len(validation):
            note += f"; of the validation images {len(validation_images):,} are used"
    test_labels = None if labels is None else labels[kept]
    return _expand_binary(ImageStream(name, train, source.read(kept), test_labels, note, validation_images))


def _used_note(kept: int, total: int) -> str:
    return f", of which {kept:,} are used" if kept < total else ""


def _expand_binary(stream: ImageStream) -> ImageStream:
    splits = [split for split in (stream.test, stream.validation) if split is not None]
    if max(split.max() for split in splits) > 1 or _sample(stream.train, 1_000).max() > 1:
        return stream
    test = stream.test * np.uint8(255)
    validation = None if stream.validation is None else stream.validation * np.uint8(255)
    return dataclasses.replace(stream, train=BlackAndWhite(stream.train, stream.name), test=test, validation=validation)


def _sample(source: ImageSource, most: int) -> np.ndarray:
    return source.read(evenly_spaced(source.shape[0], most))


def decoded(stream: ImageStream, path: str | Path) -> ImageStream:
    """Stream whose training images are read from an `.npy` file of decoded pixels, which is written if it is missing.

    Decoding a small picture takes longer than a training step of a small model takes per image
    (`experiments.streaming_speed`). The file takes N H W C bytes of disk. It appears when it is complete, and an
    existing file is used if its shape and 64 of its images equal those of the stream.

    Args:
      stream: Stream made by `stream_images`.
      path: Path of the file, ending in `.npy`.

    Raises:
      ValueError: If the path has another ending, its folder is missing, the disk is too small, or the file holds other
        images.
    """
    train, path = stream.train, os.fspath(path)
    if not path.lower().endswith(".npy"):
        raise ValueError(f"{path}: expected a path ending in .npy.")
    if not os.path.exists(path):
        _write(train, path)
    pixels = NpyImages(path)
    if pixels.shape != train.shape or not np.array_equal(_sample(pixels, 64), _sample(train, 64)):
        raise ValueError(
            f"{path}: expected the {train.shape[0]:,} training images of {stream.name}, decoded, got other images; "
            "remove the file, or give another path."
        )
    return dataclasses.replace(stream, train=pixels)


def _write(source: ImageSource, path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{path}: expected a path in an existing folder, got none at {folder}.")
    needed, free = int(np.prod(source.shape)), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(f"{path}: the decoded images take {needed:,} bytes, but the disk has {free:,} bytes free.")
    unfinished = f"{path}.{os.getpid()}.part"
    try:
        with open(unfinished, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": source.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, source.shape[0], _BLOCK):
                file.write(source.read(np.arange(start, min(start + _BLOCK, source.shape[0]))).data)
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)
