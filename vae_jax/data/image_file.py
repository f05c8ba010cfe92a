"""One picture file, read by Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def read_image(path: str | Path, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    """The image of a file as uint8 of that shape (H, W, C), C = 1 (grey) or 3 (colour).

    Args:
      path: of a picture file.
      shape: that the image must have.
      resize: whether an image of another size is brought to it (Lanczos, the sides each by their own factor).

    Raises:
      ValueError: where there is no such file, it is no still image of 8 bits, or it has another size and resize is
        False.
    """
    from PIL import Image

    path = str(path)
    (width, height), _ = header_of(path)
    if (height, width) == shape[:2]:
        return decode_file(path, shape)
    if not resize:
        raise ValueError(
            f"{path} is {by((width, height))} pixels, and {by((shape[1], shape[0]))} are needed: give --resize to "
            "have it resized, or another image"
        )
    pixels = decode_file(path, (height, width, shape[-1]))
    squeezed = pixels[..., 0] if shape[-1] == 1 else pixels
    resized = Image.fromarray(squeezed).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(shape)


def decode_file(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of a file whose size is that of the shape, (H, W, C)."""
    from PIL import Image

    mode = "RGB" if shape[-1] == 3 else "L"
    try:
        with Image.open(path) as image:
            # Palette images may be transparent, and converting would show the colour hidden beneath.
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise ValueError("expected an image without transparency; flatten it onto a background first")
            return np.asarray(image.convert("RGB" if image.mode == "P" else mode).convert(mode)).reshape(shape)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for some broken files
        raise ValueError(f"{path}: cannot be used as an image: {error}.") from error


def by(size: tuple[int, int]) -> str:
    """In words."""
    return f"{size[0]} x {size[1]}"


def header_of(file: str) -> tuple[tuple[int, int], bool]:
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
