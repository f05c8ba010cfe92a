"""The user's own images in a folder of picture files, read by Pillow."""

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
from vae_jax.data._checks import height_and_width, require_memory
from vae_jax.data._image_file import decode_file, header_of, size_text, without_bomb_warnings
from vae_jax.data._picture_paths import SUFFIXES, Pictures, find_pictures, is_ignored

SPLITS = {
    "train": ("train", "training", "trainset", "train_set"),
    "test": ("test", "testing", "testset", "test_set"),
    "validation": ("validation", "valid", "val", "dev"),
}


def load_folder(path: str | Path, *, size: Sequence[int] | None = None) -> Images:
    """Loads every picture file in a folder, at any depth, sorted by path.

    Picture files are .png, .jpg, .jpeg, .bmp, .webp, .gif, .tif, .tiff, .ppm, .pgm, .pbm and .tga. They are rotated
    upright, as viewers show them (EXIF). All must have one size, unless `size` is given. If any picture is in color all
    become RGB, else all become gray (C = 1).

    * Subfolders `train`, `test` and `validation` (`training`, `testing`, `valid`, `val`, ..., in any case) are the
      splits. The validation folder is the test split if there is no test folder; without both a fixed tenth of the
      images is held out (`numpy.random.RandomState(0)`). Pictures outside the split folders raise an error.
    * If every image is in a subfolder (of the folder, or of its split) and there are at least two subfolders, these
      first-level subfolders are classes, numbered from 0 in sorted order; the note lists the names.

    Links are followed. Hidden files and folders, those of operating systems (`__MACOSX`) and files other than pictures
    are ignored; the note counts skipped pictures of other formats and lists alterations.

    Args:
      path: The folder.
      size: (height, width) to which images of another size are resized: the shorter side is resized (Lanczos) and the
        middle cropped. Default: all images must have one size.

    Returns:
      `Images`.

    Raises:
      ValueError: If the folder is missing or holds no images; an image is unreadable, transparent, animated, of 16
        bits or too large; sizes differ; the images do not fit into memory; or pictures are outside the split folders.
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

    with without_bomb_warnings(), ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock to decode
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
    """Image files, splits and classes of a folder, from the names in it."""

    name: str
    files: tuple[str, ...]  # paths, split by split
    train: slice  # indices into files
    test: slice  # empty if the folder has no test split
    validation: slice
    labels: np.ndarray | None  # int32, one per file
    note: str  # class name of each label, and skipped files


def list_folder(path: str | Path) -> Folder:
    """Lists a folder's image files by split and class, by the rules of `load_folder`, without opening them.

    Raises:
      ValueError: If the folder is missing, it or a split holds no image file, pictures are outside the split folders,
        the `train` folder is missing, or a split has two folders.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise ValueError(f"{path}: expected a folder of images, got a path with no folder there.")
    pictures = find_pictures(path)
    names = _split_folders(path, pictures)
    skipped = [f"{count} {what}{'s' if count > 1 else ''}" for what, count in sorted(pictures.skipped.items())]
    note = f"; skipped: {', '.join(skipped)}" if skipped else ""
    if names and "test" not in names and "validation" in names:
        names["test"] = names.pop("validation")
        note = f"; the test split is the folder {names['test']}{note}"

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
            why = f"; skipped: {', '.join(skipped)}" if skipped else ""
            raise ValueError(
                f"{where}: expected at least one image file ({', '.join(SUFFIXES)}), got a folder without one{why}."
            )
    found = sorted({name for name in classes if name is not None})
    labels = None
    if len(found) >= 2 and None not in classes:
        labels = np.array([found.index(str(name)) for name in classes], np.int32)
        note = "; labels: " + ", ".join(f"{number} {name}" for number, name in enumerate(found)) + note
    train, test, validation = (slice(start, end) for start, end in itertools.pairwise(ends))
    return Folder(os.path.basename(os.path.abspath(path)), tuple(files), train, test, validation, labels, note)


def _split_folders(path: str, pictures: Pictures) -> dict[str, str]:
    """Folder names of the existing splits; empty if the folders are classes."""
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
            f"{path}: expected all pictures to be in the split folders {', '.join(names.values())}, also got "
            f"{' and '.join(got)}; move them, or {advice}."
        )
    return names


class PictureFiles:
    """Picture files of one size, decoded on demand.

    If any file is in color all become RGB, else all become gray (C = 1). The constructor reads all headers and checks
    sizes and modes; pixels are decoded by `read`.

    Args:
      paths: Paths of the files, at least one.
      size: (height, width) to which all are resized, as by `load_folder`. Default: all must have one size.

    Attributes:
      paths: Paths of the files.
      shape: (N, H, W, C).
      note: Alterations of the images, for their note.

    Raises:
      ValueError: If a file is unreadable, animated or of 16 bits, or sizes differ.
    """

    def __init__(self, paths: Sequence[str], size: Sequence[int] | None = None):
        self.paths = tuple(paths)
        wanted = None if size is None else height_and_width("size (--size)", size)
        with without_bomb_warnings(), ThreadPoolExecutor() as pool:
            headers = list(pool.map(header_of, self.paths))
        width, height = headers[0].size if wanted is None else wanted[::-1]
        others = Counter(header.size for header in headers if header.size != (width, height))
        if others and wanted is None:
            first = next(i for i, header in enumerate(headers) if header.size != (width, height))
            raise ValueError(
                f"{self.paths[first]}: expected all images to have one size, got {size_text(headers[first].size)}, but "
                f"{self.paths[0]} is {size_text(headers[0].size)}; give --size HEIGHT WIDTH to resize and crop all."
            )
        self._resize = wanted is not None
        self.shape = (len(self.paths), height, width, 3 if any(header.color for header in headers) else 1)
        alterations = {
            f"resized and cropped to {height} x {width} (height x width)": sum(others.values()),
            "rotated as their EXIF tag says": sum(header.rotated for header in headers),
            "read without the further pictures in their files": sum(header.frames > 1 for header in headers),
        }
        self.note = "".join(f"; {count:,} images {what}" for what, count in alterations.items() if count)
        root = os.path.commonpath([os.path.dirname(path) for path in self.paths])
        names = [PurePath(os.path.relpath(path, root)).as_posix() for path in self.paths]
        self.identity = ["files", *zip(names, map(os.path.getsize, self.paths), strict=True)]

    def image(self, place: int) -> np.ndarray:
        """Decodes one image, uint8 `[H, W, C]`.

        Raises:
          ValueError: If the file cannot be decoded, has changed its size, or shows transparency.
        """
        return decode_file(self.paths[place], self.shape[1:], self._resize)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images at these indices, uint8 `[n, H, W, C]`; raises as `image`."""
        pixels = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for row, place in zip(pixels, indices, strict=True):
            row[...] = self.image(place)
        return pixels
