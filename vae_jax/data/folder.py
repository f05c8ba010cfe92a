"""Images of the user's own in a folder of picture files, read by Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from vae_jax.data.arrays import Images, from_splits
from vae_jax.data.image_file import by, decode_file, header_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
TEST_NAMES = ("test", "validation", "val")


def load_folder(path: str) -> Images:
    """Images from a folder: every .png, .jpg, .jpeg, .bmp, .webp and .gif file in it, at any depth, sorted by path.

    All images must have one size. Where any of them is in colour all become RGB, else all become grey (C = 1).

    * Subfolders `train` and `test` (or `validation`, or `val`), where there are no others, are the splits; without a
      test split a fixed tenth of the images is held out (`numpy.random.RandomState(0)`).
    * Where every image is in a subfolder (of the folder, or of its split) and there are at least two of them, these
      first-level subfolders are classes, numbered from 0 in sorted order; the note says which is which.

    Hidden files and files of other kinds are passed over.

    Args:
      path: The folder.

    Returns:
      `Images`.

    Raises:
      ValueError: for a missing folder, no images, an unreadable one, two sizes, transparency, 16 bits, animation.
    """
    folder = list_folder(path)
    files = PictureFiles((*folder.train, *folder.test))
    pixels = np.empty(files.shape, np.uint8)

    def decode(place: int) -> None:
        pixels[place] = files.image(place)

    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter's lock while it decodes
        list(pool.map(decode, range(len(pixels))))
    labels, count = folder.labels, len(folder.train)
    return from_splits(
        folder.name,
        pixels[:count],
        None if labels is None else labels[:count],
        pixels[count:] if folder.test else None,
        None if labels is None or not folder.test else labels[count:],
        folder.note,
    )


class Folder(NamedTuple):
    """What a folder of images holds, as far as the names in it tell."""

    name: str
    train: tuple[str, ...]  # paths of files
    test: tuple[str, ...]  # empty where the folder has no test split
    labels: np.ndarray | None  # int32, of train and test together
    note: str  # which class each label is of


def list_folder(path: str) -> Folder:
    """Lists a folder's image files by split and class, by the rules of `load_folder`; opens none of them.

    Raises:
      ValueError: for a missing folder, and for a folder or split without an image file.
    """
    if not os.path.isdir(path):
        raise ValueError(f"{path}: expected a folder of images, got a path with no folder there.")
    subfolders = {entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")}
    split = "train" in subfolders and subfolders <= {"train", *TEST_NAMES}
    test_name = next((name for name in TEST_NAMES if split and name in subfolders), None)
    train = _image_files(os.path.join(path, "train") if split else path)
    test = _image_files(os.path.join(path, test_name)) if test_name else []

    classes = sorted({class_name for _, class_name in train + test if class_name is not None})
    labelled = len(classes) >= 2 and all(class_name is not None for _, class_name in train + test)
    labels = (
        np.array([classes.index(str(class_name)) for _, class_name in train + test], np.int32) if labelled else None
    )
    return Folder(
        os.path.basename(os.path.abspath(path)),
        tuple(file for file, _ in train),
        tuple(file for file, _ in test),
        labels,
        "; labels: " + ", ".join(f"{number} {name}" for number, name in enumerate(classes)) if labelled else "",
    )


def _image_files(root: str) -> list[tuple[str, str | None]]:
    """The image files under `root`, sorted, each with its first-level subfolder (None directly under the root)."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                parts = PurePath(folder).relative_to(root).parts
                found.append((os.path.join(folder, name), parts[0] if parts else None))
    if not found:
        raise ValueError(f"{root}: expected at least one image file ({', '.join(SUFFIXES)}), got a folder without one.")
    return sorted(found)


class PictureFiles:
    """Picture files of one size, decoded when they are asked for.

    Where any of them is in colour all become RGB, else all become grey (C = 1). Sizes and modes are checked on the
    headers, which are all read when this is made; no pixel is decoded before `read`.

    Args:
      paths: of the files, at least one.

    Attributes:
      paths: of the files.
      shape: (N, H, W, C).

    Raises:
      ValueError: for an unreadable file, two sizes, 16 bits, animation.
    """

    def __init__(self, paths: Sequence[str]):
        self.paths = tuple(paths)
        with ThreadPoolExecutor() as pool:
            sizes, colours = zip(*pool.map(header_of, self.paths), strict=True)
        for path, size in zip(self.paths, sizes, strict=True):
            if size != sizes[0]:
                raise ValueError(
                    f"{path}: expected all images to have one size, got {by(size)} where {self.paths[0]} is "
                    f"{by(sizes[0])}."
                )
        root = os.path.commonpath([os.path.dirname(path) for path in self.paths])
        names = [PurePath(os.path.relpath(path, root)).as_posix() for path in self.paths]
        self.identity = ["files", *zip(names, map(os.path.getsize, self.paths), strict=True)]
        width, height = sizes[0]
        self.shape = (len(self.paths), height, width, 3 if any(colours) else 1)

    def image(self, place: int) -> np.ndarray:
        """One image, uint8 `[H, W, C]`.

        Raises:
          ValueError: for a file that cannot be decoded, is of another size by now, or shows transparency.
        """
        return decode_file(self.paths[place], self.shape[1:])

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, uint8 `[n, H, W, C]`, with the errors of `image`."""
        pixels = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for row, place in zip(pixels, indices, strict=True):
            row[...] = self.image(place)
        return pixels
