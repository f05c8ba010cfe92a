"""Images of the user's own in a folder of picture files, read by Pillow."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.data.arrays import Images, from_splits

if TYPE_CHECKING:
    from PIL import Image

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
    pixels = _decode([file for file, _ in train + test])
    extra = "; labels: " + ", ".join(f"{number} {name}" for number, name in enumerate(classes)) if labelled else ""

    count = len(train)
    return from_splits(
        os.path.basename(os.path.abspath(path)),
        pixels[:count],
        None if labels is None else labels[:count],
        pixels[count:] if test_name else None,
        None if labels is None or not test_name else labels[count:],
        extra,
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


def _decode(files: list[str]) -> np.ndarray:
    """All files as uint8 `[N, H, W, C]`; sizes and modes are checked on the headers, before any pixel is decoded."""
    sizes, colours = zip(*(_header(file) for file in files), strict=True)
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{file}: expected all images to have one size, got {_by(size)} where {files[0]} is {_by(sizes[0])}."
            )
    mode = "RGB" if any(colours) else "L"
    pixels = np.empty((len(files), sizes[0][1], sizes[0][0], 3 if mode == "RGB" else 1), np.uint8)

    def decode(index: int) -> None:
        from PIL import Image

        try:
            with Image.open(files[index]) as image:
                # Palette images may be transparent, and converting would show the colour hidden beneath.
                if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                    raise ValueError("expected an image without transparency; flatten it onto a background first")
                decoded = np.asarray(image.convert("RGB" if image.mode == "P" else mode).convert(mode))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for some broken files
            raise ValueError(f"{files[index]}: cannot be used as an image: {error}.") from error
        pixels[index] = decoded.reshape(pixels.shape[1:])

    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter's lock while it decodes
        list(pool.map(decode, range(len(files))))
    return pixels


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _header(file: str) -> tuple[tuple[int, int], bool]:
    """Size (width, height) and whether the image is in colour, of one file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames != 1:
                raise ValueError(f"{file}: expected a still image, got {frames} frames.")
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise ValueError(
                    f"{file}: expected 8 bits a channel, got mode {image.mode}; convert it to 8 bits first."
                )
            return image.size, _is_colour(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{file}: expected an image file, got contents that Pillow does not recognise.") from error
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{file}: expected an image file that can be read: {error}.") from error


def _is_colour(image: Image.Image) -> bool:
    if image.mode == "P":  # a palette may hold greys only
        palette = np.reshape(image.getpalette("RGB") or [], (-1, 3))
        return bool((palette != palette[:, :1]).any())
    return image.mode not in ("1", "L", "LA")
