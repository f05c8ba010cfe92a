"""Data sets larger than memory: training images that stay on disk, and the few that are held out in memory."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_jax.data._arrays import HOLD_OUT_NOTE, held_out_tenth, sizes_of
from vae_jax.data._checks import whole_number
from vae_jax.data._digits import load_digits
from vae_jax.data._factor_sets import RENDERED, RenderedImages
from vae_jax.data._factors import FactorData, factors_of
from vae_jax.data._folder import PictureFiles, list_folder
from vae_jax.data._kinds import kind_of
from vae_jax.data._sources import ArrayImages, BlackAndWhite, Excluding, ImageSource, NpyImages, evenly_spaced
from vae_jax.data._tfds_images import open_tfds

_BLOCK = 512  # images decoded and written at once


@dataclasses.dataclass(frozen=True, eq=False)
class ImageStream:
    """A data set as `Images`, but for its training images, which are read when they are asked for.

    Attributes:
      name: What was asked for.
      train: N >= 1 images of one shape; `hold_out` takes a validation set from it, `Batches` reads it.
      test: uint8 `[M, H, W, C]`, in memory.
      test_labels: int32 `[M]`, or None.
      note: Provenance and protocol in a sentence, to stand beside any number measured on the images.
      validation: uint8 `[K, H, W, C]`, in memory, if the source has a split to choose the best epoch by; else None.
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
    """Opens the images that `data` names, as `load_images` would load them, without reading the training images.

    Splits, order and pixels are those of `load_images`. What grows with the data set is a few bytes an image, or its
    path: a folder's header check opens every file once. Whether pixels are binary (0 and 1, which become 0 and 255) is
    judged by the test images and 1,000 of the training images.

    Args:
      data: `digits`, a set that is rendered (`sprites`, ...), a path ending in `.npy`, a folder or a TFDS name; an
        `.npz` file has to be read whole.
      data_dir: The TFDS data directory, as for `load_images`.
      size: (height, width) that the pictures of a folder are brought to; None: as they are.
      most_test: Of a larger test or validation split only so many images, evenly spaced, are taken; the note says so.

    Raises:
      ValueError, TypeError: as `load_images`; for an `.npz` file.
    """
    most_test = whole_number("most_test", most_test, 1, 2**31 - 1)
    kind, path = kind_of(data, size), os.fspath(data)
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
    return _of_tfds(path, None if data_dir is None else os.fspath(data_dir), most_test)


def _places(part: slice) -> np.ndarray:
    return np.arange(part.start, part.stop)


def _of_tfds(data: str, data_dir: str | None, most_test: int) -> ImageStream:
    opened = open_tfds(data, data_dir)
    train: ImageSource = opened.train
    if opened.test is None:
        places = held_out_tenth(opened.train.shape[0], f"TFDS data set {data!r}")
        train, test_source = Excluding(train, places), opened.train
    else:
        places, test_source = np.arange(opened.test.shape[0]), opened.test
    kept = places[evenly_spaced(len(places), most_test)]
    test, test_labels = test_source.read_labeled(kept)
    note = opened.note(train.shape[0], len(places)) + _of_test(len(kept), len(places))
    return _spread(ImageStream(data, train, test, test_labels, note))


def _rendered(data: FactorData, most_test: int) -> ImageStream:
    """Labeled by the first factor: of sprites, the shape."""
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
    """The stream of a source whose images at `places` are the test images, and at `validation` the validation images.

    The places of each split are in ascending order.
    """
    validation = np.arange(0) if validation is None else validation
    kept = places[evenly_spaced(len(places), most_test)]
    train = Excluding(source, np.sort(np.concatenate([places, validation])))
    note = f"{name}: {sizes_of(train.shape[0], len(places), len(validation) or None)}, {protocol}"
    note += _of_test(len(kept), len(places))
    held = None
    if len(validation):
        held_places = validation[evenly_spaced(len(validation), most_test)]
        held = source.read(held_places)
        if len(held) < len(validation):
            note += f"; of the validation images {len(held):,} are used"
    own_labels = None if labels is None else labels[kept]
    return _spread(ImageStream(name, train, source.read(kept), own_labels, note, held))


def _of_test(kept: int, total: int) -> str:
    return f", of which {kept:,} are used" if kept < total else ""


def _spread(stream: ImageStream) -> ImageStream:
    held = stream.test[:0] if stream.validation is None else stream.validation
    if max(stream.test.max(), held.max(initial=0)) > 1 or _sample(stream.train, 1_000).max() > 1:
        return stream
    test, validation = stream.test * np.uint8(255), None if stream.validation is None else held * np.uint8(255)
    return dataclasses.replace(stream, train=BlackAndWhite(stream.train, stream.name), test=test, validation=validation)


def _sample(source: ImageSource, most: int) -> np.ndarray:
    return source.read(evenly_spaced(source.shape[0], most))


def decoded(stream: ImageStream, path: str | Path) -> ImageStream:
    """The same stream, its training images read from an `.npy` file of their pixels, written first where there is none.

    Decoding a small picture takes longer than a small model's whole training step takes for it
    (`experiments.streaming_speed`); done once, it costs only disk: N H W C bytes. The file appears when it is whole,
    and is used again as long as its shape and 64 of its images are the stream's.

    Args:
      stream: of `stream_images`.
      path: ending in `.npy`.

    Raises:
      ValueError: for another ending, a folder that is not there, too small a disk, and a file of other images.
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
            "remove the file, or name another."
        )
    return dataclasses.replace(stream, train=pixels)


def _write(source: ImageSource, path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{path}: expected a path in a folder that is there, got none at {folder}.")
    needed, free = int(np.prod(source.shape)), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(f"{path}: the decoded images take {needed:,} bytes, and the disk has {free:,} left.")
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
