"""Single images as picture files, without axes or frame."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.visualization._mosaic import as_rgb


def save_images(images: ArrayLike, folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Writes each image as an 8-bit PNG file into a new folder, which appears when all files are written.

    Args:
      images: `[N, H, W, C]`, C in {1, 3}; floats x in [0, 1] (clipped) become round(255 x); or uint8.
      folder: Path of a missing or empty folder; parents are created.
      names: `[N]` file names without `.png`. Default: `0000`, `0001`, ...

    Returns:
      Paths of the files, in the order of the images.

    Raises:
      ValueError: If the shape or range of images is wrong, there is not one name per image, or the folder is not empty.
    """
    from PIL import Image

    pixels = np.rint(255.0 * as_rgb("images", images, "N")).astype(np.uint8)
    gray = np.shape(images)[-1] == 1
    stems = [f"{i:04d}" for i in range(len(pixels))] if names is None else list(names)
    if len(stems) != len(pixels):
        raise ValueError(f"names must hold one name for each of the {len(pixels)} images, got {len(stems)} names")
    check_new_folder("folder", folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.mkdir()
        for stem, image in zip(stems, pixels, strict=True):
            Image.fromarray(image[..., 0] if gray else image).save(temporary / f"{stem}.png")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / f"{stem}.png" for stem in stems]


def check_new_folder(argument: str, folder: Path) -> None:
    """Raises ValueError, naming the argument, if the path exists and is not an empty folder."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{argument} must be a new or empty folder, got {folder}, which exists and is not empty")
