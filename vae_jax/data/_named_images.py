"""All examples of a data set with their names, for results per example (scores, codes)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_jax.data._batches import Unreadable
from vae_jax.data._digits import load_digits
from vae_jax.data._factor_sets import RENDERED, RenderedImages
from vae_jax.data._factors import FactorData, factors_of
from vae_jax.data._files import Split, read_array_file
from vae_jax.data._folder import list_folder
from vae_jax.data._image_file import decode_file, header_of, size_text, without_bomb_warnings
from vae_jax.data._kinds import Kind, image_kind_of
from vae_jax.data._picture_paths import SUFFIXES
from vae_jax.data._sources import NpyImages, black_and_white, evenly_spaced
from vae_jax.data._tfds_images import open_splits

_SAMPLED = 1_000  # images that are inspected to find out if a data set is binary
Read = Callable[[np.ndarray], Split]  # indices -> pixels, labels


@dataclasses.dataclass(frozen=True, eq=False)
class NamedImages:
    """All examples of a data set, each read on demand.

    Attributes:
      shape: (N, H, W, C).
      name: (index) -> name of the example: the path of its file; `split:row` in data of several splits and of TFDS;
        else its row.
      labeled: True if every example has a label.
      note: Class name of each label and alterations of the images; empty if there are none.
    """

    shape: tuple[int, ...]
    name: Callable[[int], str]
    labeled: bool
    note: str
    _read: Read

    def read(self, places: Sequence[int] | np.ndarray) -> Split:
        """Images and labels at these indices (0 to N - 1).

        Returns:
          uint8 `[n, H, W, C]`, and int32 `[n]`, or None if the data set has no labels.

        Raises:
          Unreadable: A ValueError, if an image cannot be read.
        """
        try:
            pixels, labels = self._read(np.asarray(places))
        except ValueError as error:
            raise Unreadable(str(error)) from error
        return pixels, labels if self.labeled else None


def every_example(
    data: str | Path,
    data_dir: str | Path | None = None,
    *,
    shape: Sequence[int] | None = None,
    resize: bool = False,
) -> NamedImages:
    """Opens every example of a data set: its splits concatenated, none held out.

    Only an `.npz` file and the digits are held in memory. Pixels that are all 0 or 1 become 0 and 255, as in
    `load_images`, judged by 1,000 evenly spaced images.

    Args:
      data: A name or path as for `load_images`, a rendered data set (`sprites`, ...), or one picture file.
      data_dir: The TFDS data directory, as for `load_images`.
      shape: (H, W, C) that images must have; picture files in color are made gray for C = 1, and the note says so.
        Default: the shape in the data; for picture files the size of the first, in color if any file is.
      resize: Resize images of another size: the shorter side is resized (Lanczos) and the middle cropped.

    Returns:
      `NamedImages`, in the order of the source; a folder is sorted by split and then by path.

    Raises:
      ValueError, TypeError: As `load_images`; and if images have another size (or, if they are not picture files,
        another number of channels) than `shape` and resize is False.
    """
    kind, path = image_kind_of(data), os.fspath(data)
    wanted = None if shape is None else tuple(shape)
    if path.lower().endswith(SUFFIXES) and not os.path.isdir(path):
        return _pictures((path,), None, "", wanted, resize)
    if kind == "folder":
        folder = list_folder(path)
        found = _pictures(folder.files, folder.labels, folder.note, wanted, resize)
        return _expand_binary(found, path)
    found = _expand_binary(_joined(*_parts(kind, path, data_dir)), path)
    if wanted is None or found.shape[1:] == wanted:
        return found
    if not resize:
        raise ValueError(
            f"{path} must hold images of {_shape_text(wanted)} (height x width x channels), got "
            f"{_shape_text(found.shape[1:])}: give --resize (resize=True) to resize them, or other data"
        )

    def read(places: np.ndarray) -> Split:
        pixels, labels = found.read(places)
        return _resized(pixels, wanted), labels

    note = f"{found.note}; all images resized and cropped from {_shape_text(found.shape[1:])} to {_shape_text(wanted)}"
    return dataclasses.replace(found, shape=(found.shape[0], *wanted), note=note.lstrip("; "), _read=read)


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


class _Part(NamedTuple):
    """A split, or a whole source without splits."""

    name: str  # empty for a source without splits
    shape: tuple[int, ...]
    labeled: bool
    read: Read


def _parts(kind: Kind, path: str, data_dir: str | Path | None) -> tuple[list[_Part], str]:
    """Splits of a source other than a folder, and a note."""
    if kind == "digits":
        digits = load_digits()
        train, test = (digits.train, digits.train_labels), (digits.test, digits.test_labels)
        return [_in_memory("train", train), _in_memory("test", test)], ""
    if kind == "rendered":
        rendered = RENDERED[path]
        return [_Part("", (rendered.num_images, *rendered.image_shape), True, _read_rendered(rendered))], ""
    if kind == "tfds":
        opened = open_splits(path, None if data_dir is None else os.fspath(data_dir))
        labeled = lambda records: records.read_labeled([0])[1] is not None
        return [_Part(name, split.shape, labeled(split), split.read_labeled) for name, split in opened.items()], ""
    if path.lower().endswith(".npy"):
        source = NpyImages(path)
        return [_Part("", source.shape, False, lambda places: (source.read(places), None))], ""
    file = read_array_file(path)
    optional = {"train": file.train, "validation": file.validation, "test": file.test}
    splits = {name: split for name, split in optional.items() if split is not None}
    return [_in_memory(name if len(splits) > 1 else "", split) for name, split in splits.items()], file.note


def _in_memory(name: str, split: Split) -> _Part:
    pixels, labels = split
    at = lambda places: (pixels[places], None if labels is None else labels[places])
    return _Part(name, pixels.shape, labels is not None, at)


def _read_rendered(data: FactorData) -> Read:
    """Reader of a rendered data set; the label is the first factor."""
    source = RenderedImages(data)
    return lambda places: (source.read(places), np.asarray(factors_of(places, data.factor_sizes)[0], np.int32))


def _joined(splits: Sequence[_Part], note: str) -> NamedImages:
    """Concatenates the examples of all splits."""
    ends = np.cumsum([split.shape[0] for split in splits])
    labeled = all(split.labeled for split in splits)

    def name(place: int) -> str:
        split = int(np.searchsorted(ends, place, side="right"))
        row = place - (ends[split] - splits[split].shape[0])
        return f"{splits[split].name}:{row}" if splits[split].name else str(row)

    def read(places: np.ndarray) -> Split:
        pixels = np.empty((len(places), *splits[0].shape[1:]), np.uint8)
        labels = np.empty(len(places), np.int32)
        of_split = np.searchsorted(ends, places, side="right")
        for split in np.unique(of_split):
            mine = of_split == split
            pixels[mine], own = splits[split].read(places[mine] - (ends[split] - splits[split].shape[0]))
            if own is not None:
                labels[mine] = own
        return pixels, labels

    without = [split.name for split in splits if not split.labeled]
    if 0 < len(without) < len(splits):
        note += f"; labels are left out, because {' and '.join(without)} {'have' if len(without) > 1 else 'has'} none"
    return NamedImages((int(ends[-1]), *splits[0].shape[1:]), name, labeled, note.lstrip("; "), read)


def _pictures(
    paths: Sequence[str], labels: np.ndarray | None, note: str, shape: tuple[int, ...] | None, resize: bool
) -> NamedImages:
    """Opens picture files and reads all headers, so that unusable files are reported before any is decoded."""
    with without_bomb_warnings(), ThreadPoolExecutor() as pool:
        headers = list(pool.map(header_of, paths))
    if shape is None:
        width, height = headers[0].size
        shape = (height, width, 3 if any(header.color for header in headers) else 1)
    size = (shape[1], shape[0])
    others = [path for path, header in zip(paths, headers, strict=True) if header.size != size]
    if others and not resize:
        first = headers[paths.index(others[0])].size
        more = f" ({len(others) - 1:,} more pictures have another size, too)" if len(others) > 1 else ""
        raise ValueError(
            f"{others[0]} must be of {size_text(size)} pixels, got {size_text(first)}{more}: give --resize "
            "(resize=True) to resize it, or another image"
        )
    altered = {
        f"resized and cropped to {shape[0]} x {shape[1]} (height x width)": len(others),
        "rotated as their EXIF tag says": sum(header.rotated for header in headers),
        "read without the further pictures in their files": sum(header.frames > 1 for header in headers),
        "made gray": sum(header.color for header in headers) if shape[2] == 1 else 0,
    }
    note += "".join(f"; {count:,} images {what}" for what, count in altered.items() if count)

    def read(places: np.ndarray) -> Split:
        decode = lambda place: decode_file(paths[place], shape, resize)
        with without_bomb_warnings(), ThreadPoolExecutor() as pool:
            pixels = np.stack(list(pool.map(decode, places)))
        return pixels, None if labels is None else labels[places]

    return NamedImages((len(paths), *shape), lambda place: paths[place], labels is not None, note.lstrip("; "), read)


def _expand_binary(images: NamedImages, where: str) -> NamedImages:
    """Maps pixels of 0 and 1 to 0 and 255 if no sampled image has other values."""
    if any(images.read([place])[0].max() > 1 for place in evenly_spaced(images.shape[0], _SAMPLED)):
        return images

    def read(places: np.ndarray) -> Split:
        pixels, labels = images.read(places)
        return black_and_white(pixels, where), labels

    return dataclasses.replace(images, _read=read)


def _resized(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from PIL import Image, ImageOps

    def one(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        image = image.convert("RGB" if shape[-1] == 3 else "L")
        return np.asarray(ImageOps.fit(image, (shape[1], shape[0]), Image.Resampling.LANCZOS)).reshape(shape)

    return np.stack([one(pixels) for pixels in images])
