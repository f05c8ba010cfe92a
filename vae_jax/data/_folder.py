"""Images of the user's own in a folder of picture files, read by Pillow."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from vae_jax.data._arrays import Images, from_splits
from vae_jax.data._checks import require_memory, size_of
from vae_jax.data._image_file import by, decode_file, header_of, without_bomb_warnings
from vae_jax.data._picture_paths import SUFFIXES, Pictures, find_pictures, is_ignored

SPLITS = {
    "train": ("train", "training", "trainset", "train_set"),
    "test": ("test", "testing", "testset", "test_set"),
    "validation": ("validation", "valid", "val", "dev"),
}


def load_folder(path: str | Path, *, size: Sequence[int] | None = None) -> Images:
    """Images from a folder: every picture file in it, at any depth, sorted by path.

    Picture files are .png, .jpg, .jpeg, .bmp, .webp, .gif, .tif, .tiff, .ppm, .pgm, .pbm and .tga. They are taken
    upright, as viewers show them (EXIF). All must have one size, unless `size` is given. If any of them is in color all
    become RGB, else all become gray (C = 1).

    * Subfolders `train`, `test` and `validation` (`training`, `testing`, `valid`, `val`, ..., in any case) are the
      splits. The validation folder is the test split if there is no test folder; without both a fixed tenth of the
      images is held out (`numpy.random.RandomState(0)`). Other pictures beside split folders are refused.
    * If every image is in a subfolder (of the folder, or of its split) and there are at least two of them, these
      first-level subfolders are classes, numbered from 0 in sorted order; the note says which is which.

    Links are followed. Hidden files and folders, those of systems (`__MACOSX`) and files that are no pictures are
    ignored; the note counts pictures of other formats, which are passed over, and says what was altered.

    Args:
      path: The folder.
      size: (height, width): images of another size are brought to it, the shorter side resized (Lanczos), the middle
        cropped.

    Returns:
      `Images`.

    Raises:
      ValueError: for a missing folder, no images, an unreadable one, two sizes, transparency, 16 bits, animation, more
        pixels than a picture may have, images that do not fit into memory, and pictures beside split folders.
    """
    folder = list_folder(path)
    files = PictureFiles(folder.files, size)
    require_memory(
        f"{path}: {files.shape[0]:,} images of {files.shape[1:]}",
        int(np.prod(files.shape, dtype=object)),
        "give a smaller --size, or --stream them",
    )
    pixels = np.empty(files.shape, np.uint8)

    def decode(place: int) -> None:
        pixels[place] = files.image(place)

    with without_bomb_warnings(), ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter's lock to decode
        list(pool.map(decode, range(len(pixels))))

    def split(places: slice) -> tuple[np.ndarray | None, np.ndarray | None]:
        if places.start == places.stop:
            return None, None
        return pixels[places], None if folder.labels is None else folder.labels[places]

    train, train_labels = split(folder.train)
    assert train is not None
    return from_splits(
        folder.name, train, train_labels, *split(folder.test), folder.note + files.note, *split(folder.validation)
    )


class Folder(NamedTuple):
    """What a folder of images holds, as far as the names in it tell."""

    name: str
    files: tuple[str, ...]  # paths, split by split
    train: slice  # of files
    test: slice  # empty if the folder has no test split
    validation: slice
    labels: np.ndarray | None  # int32, of files
    note: str  # which class each label is of, and what was passed over


def list_folder(path: str | Path) -> Folder:
    """Lists a folder's image files by split and class, by the rules of `load_folder`; opens none of them.

    Raises:
      ValueError: for a missing folder, a folder or split without an image file, pictures beside split folders, and
        split folders without `train` or two of one split.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise ValueError(f"{path}: expected a folder of images, got a path with no folder there.")
    pictures = find_pictures(path)
    names = _split_folders(path, pictures)
    passed_over = [f"{count} {what}{'s' if count > 1 else ''}" for what, count in sorted(pictures.passed_over.items())]
    note = f"; passed over: {', '.join(passed_over)}" if passed_over else ""
    if names and "test" not in names and "validation" in names:
        names["test"] = names.pop("validation")
        note = f"; test is its folder {names['test']}{note}"

    files: list[str] = []
    classes: list[str | None] = []
    ends = [0]
    for split in ("train", "test", "validation"):
        for file, parts in zip(pictures.paths, pictures.parts, strict=True):
            if not names and split == "train":
                files.append(file)
                classes.append(parts[0] if parts else None)
            elif names.get(split) in parts[:1]:
                files.append(file)
                classes.append(parts[1] if len(parts) > 1 else None)
        ends.append(len(files))
        if ends[-1] == ends[-2] and (split in names or split == "train"):
            where = os.path.join(path, names[split]) if names else path
            without = "".join(f"; passed over: {one}" for one in passed_over)
            raise ValueError(
                f"{where}: expected at least one image file ({', '.join(SUFFIXES)}), got a folder without one{without}."
            )
    found = sorted({name for name in classes if name is not None})
    labels = None
    if len(found) >= 2 and None not in classes:
        labels = np.array([found.index(str(name)) for name in classes], np.int32)
        note = "; labels: " + ", ".join(f"{number} {name}" for number, name in enumerate(found)) + note
    train, test, validation = (slice(start, end) for start, end in itertools.pairwise(ends))
    return Folder(os.path.basename(os.path.abspath(path)), tuple(files), train, test, validation, labels, note)


def _split_folders(path: str, pictures: Pictures) -> dict[str, str]:
    """Folder names of the splits that exist; empty if the folders are classes."""
    folders = sorted(
        name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)) and not is_ignored(name)
    )
    spelled = {spelling: split for split, spellings in SPLITS.items() for spelling in spellings}
    by_split: dict[str, list[str]] = {}
    for name in folders:
        if name.lower() in spelled:
            by_split.setdefault(spelled[name.lower()], []).append(name)
    if not by_split:
        return {}
    for split, found in by_split.items():
        if len(found) > 1:
            raise ValueError(f"{path}: expected one folder of {split} images, got {' and '.join(found)}.")
    names = {split: by_split[split][0] for split in SPLITS if split in by_split}
    advice = "if all of them are classes, move them into one folder train"
    if "train" not in names:
        raise ValueError(f"{path}: expected a folder train beside {' and '.join(names.values())}, got none; {advice}.")
    others = sorted({parts[0] for parts in pictures.parts if parts} - set(names.values()))
    loose = sum(not parts for parts in pictures.parts)
    if others or loose:
        got = [f"pictures in {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}"] if others else []
        got += [f"{loose} pictures outside of folders"] if loose else []
        raise ValueError(
            f"{path}: expected all pictures in the split folders {', '.join(names.values())}, got also "
            f"{' and '.join(got)}; move them, or {advice}."
        )
    return names


class PictureFiles:
    """Picture files of one size, decoded when they are asked for.

    If any of them is in color all become RGB, else all become gray (C = 1). Sizes and modes are checked on the
    headers, which are all read when this is made; no pixel is decoded before `read`.

    Args:
      paths: of the files, at least one.
      size: (height, width) that all are brought to, as `load_folder` does; None: all must have one size.

    Attributes:
      paths: of the files.
      shape: (N, H, W, C).
      note: what is altered, to stand in the note of the images.

    Raises:
      ValueError: for an unreadable file, two sizes, 16 bits, animation.
    """

    def __init__(self, paths: Sequence[str], size: Sequence[int] | None = None):
        self.paths = tuple(paths)
        wanted = None if size is None else size_of("size (--size)", size)
        with without_bomb_warnings(), ThreadPoolExecutor() as pool:
            headers = list(pool.map(header_of, self.paths))
        width, height = headers[0].size if wanted is None else wanted[::-1]
        others = Counter(header.size for header in headers if header.size != (width, height))
        if others and wanted is None:
            first = next(i for i, header in enumerate(headers) if header.size != (width, height))
            raise ValueError(
                f"{self.paths[first]}: expected all images to have one size, got {by(headers[first].size)} where "
                f"{self.paths[0]} is {by(headers[0].size)}; give --size HEIGHT WIDTH to have all resized and cropped."
            )
        self._resize = wanted is not None
        self.shape = (len(self.paths), height, width, 3 if any(header.color for header in headers) else 1)
        alterations = {
            f"resized and cropped to {height} x {width} (height x width)": sum(others.values()),
            "turned as their EXIF tag says": sum(header.turned for header in headers),
            "taken without the further pictures in their files": sum(header.frames > 1 for header in headers),
        }
        self.note = "".join(f"; {count:,} images {what}" for what, count in alterations.items() if count)
        root = os.path.commonpath([os.path.dirname(path) for path in self.paths])
        names = [PurePath(os.path.relpath(path, root)).as_posix() for path in self.paths]
        self.identity = ["files", *zip(names, map(os.path.getsize, self.paths), strict=True)]

    def image(self, place: int) -> np.ndarray:
        """One image, uint8 `[H, W, C]`.

        Raises:
          ValueError: for a file that cannot be decoded, is of another size by now, or shows transparency.
        """
        return decode_file(self.paths[place], self.shape[1:], self._resize)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, uint8 `[n, H, W, C]`, with the errors of `image`."""
        pixels = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for row, place in zip(pixels, indices, strict=True):
            row[...] = self.image(place)
        return pixels
