"""One picture file, read by Pillow."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_jax.data._checks import MOST_PIXELS, size_of, whole_number

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # an EXIF tag; from 5 on rows become columns
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}


def read_image(path: str | Path, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    """The image of a file as uint8 of that shape (H, W, C), C = 1 (gray) or 3 (color), upright as viewers show it.

    Args:
      path: of a picture file.
      shape: that the image must have.
      resize: whether an image of another size is brought to it: the shorter side resized, the middle cropped.

    Raises:
      ValueError: If there is no such file, it is no still image of 8 bits, or it has another size and resize is
        False.
    """
    if len(shape) != 3:
        raise ValueError(f"shape must be (height, width, channels), got {tuple(shape)}")
    height, width = size_of("shape", tuple(shape[:2]))
    channels = whole_number("shape's number of channels", shape[2], 1, 3)
    if channels == 2:
        raise ValueError(f"shape must have 1 or 3 channels, got {tuple(shape)}")
    path = os.fspath(path)
    with without_bomb_warnings():
        header = header_of(path)
    if header.size != (width, height) and not resize:
        raise ValueError(
            f"{path} is {by(header.size)} pixels, and {by((width, height))} are needed: give --resize to "
            "have it resized, or another image"
        )
    return decode_file(path, (height, width, channels), resize)


def decode_file(path: str, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    """The pixels of a file, upright, uint8 of the shape (H, W, C).

    Args:
      path: of a file that `header_of` has seen.
      shape: of the result.
      resize: whether an image of another size is brought to it: the shorter side resized (Lanczos), the middle cropped.

    Raises:
      ValueError: If the file cannot be decoded, shows transparency, or has another size and resize is False.
    """
    from PIL import Image, ImageOps

    mode, size = "RGB" if shape[-1] == 3 else "L", (shape[1], shape[0])
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            # Palette images may be transparent, and converting would show the color hidden beneath.
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise ValueError("expected an image without transparency; flatten it onto a background first")
            image = image.convert("RGB" if image.mode in ("P", "PA") else mode).convert(mode)
            if image.size != size:
                if not resize:
                    raise ValueError(f"expected {by(size)} pixels as its header said, got {by(image.size)}")
                image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
            return np.asarray(image).reshape(shape)
    except Exception as error:  # on a damaged file Pillow raises whatever its parser stumbles over
        raise ValueError(f"{path}: cannot be used as an image: {_reason(error)}.") from error


def by(size: tuple[int, int]) -> str:
    """Size in words."""
    return f"{size[0]} x {size[1]}"


class Header(NamedTuple):
    """Properties of a picture file, known before it is decoded."""

    size: tuple[int, int]  # width, height, upright as viewers show it
    color: bool
    turned: bool  # by its EXIF tag
    frames: int  # more than 1 only of a photo with pictures of another kind behind it (MPO)


@contextlib.contextmanager
def without_bomb_warnings() -> Iterator[None]:
    """Silences Pillow's warning of pictures above half of MOST_PIXELS, which `header_of` accepts.

    Filters of warnings are shared by threads: enter it before they start.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def header_of(file: str) -> Header:
    """Header of one picture file, without its pixels.

    Raises:
      ValueError: If it is no regular file, cannot be read, is no still image, has other than 8 bits a channel, is
        neither gray nor RGB, or claims more than MOST_PIXELS pixels.
    """
    from PIL import Image, UnidentifiedImageError

    _require_regular_file(file)
    try:
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            # PngImageFile's own getexif decodes the picture, to find a tag behind the pixels.
            orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
            size, mode, deep, format_ = _stored_size(image), image.mode, _is_deep(image), image.format
            color = mode in _MODES and _is_color(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{file}: expected an image file, got contents that Pillow does not recognize.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{file}: expected at most {MOST_PIXELS:,} pixels, got more; make it smaller first."
        ) from error
    except Exception as error:  # on a damaged file Pillow raises whatever its parser stumbles over
        raise ValueError(f"{file}: expected an image file that can be read: {_reason(error)}.") from error
    if frames != 1 and format_ != "MPO":
        raise ValueError(f"{file}: expected a still image, got {frames} frames.")
    if deep or mode in ("I", "F") or mode.startswith("I;"):
        depth = "" if mode in ("I", "F") or mode.startswith("I;") else " of 16 bits a channel"
        raise ValueError(f"{file}: expected 8 bits a channel, got mode {mode}{depth}; convert it to 8 bits first.")
    if mode not in _MODES:
        raise ValueError(f"{file}: expected a gray or RGB image, got mode {mode}; convert it to RGB first.")
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"{file}: expected at most {MOST_PIXELS:,} pixels, got {by(size)}; make it smaller first.")
    return Header(size[::-1] if orientation >= 5 else size, color, orientation != 1, frames)


def _require_regular_file(path: str) -> None:
    """Refuses anything but a regular file: opening a named pipe would wait forever."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError as error:
        what = "a link that leads nowhere" if os.path.islink(path) else str(error.strerror)
        raise ValueError(f"{path}: expected an image file that can be read, got {what}.") from error
    if kind != stat.S_IFREG:
        raise ValueError(f"{path}: expected an image file, got {_KINDS.get(kind, 'a device')}.")


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height before the image is turned; for TIFF Pillow's versions differ in what `size` says."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (int(tags[256]), int(tags[257]))


def _is_deep(image: Image.Image) -> bool:
    """Returns whether Pillow would cut the channels to 8 bits, as it does with 16-bit RGB."""
    for tile in getattr(image, "tile", ()):
        codec, arguments = tile[0], tile[3]
        arguments = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(isinstance(argument, str) and re.search(r";(16|32)[A-Z]", argument) for argument in arguments):
            return True
        if codec.startswith("ppm") and any(isinstance(argument, int) and argument > 255 for argument in arguments):
            return True
    return False


def _is_color(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):  # a palette may hold grays only
        palette = np.reshape(image.getpalette("RGB") or [], (-1, 3))
        return bool((palette != palette[:, :1]).any())
    return image.mode not in ("1", "L", "LA")


def _reason(error: BaseException) -> str:
    """An exception's message in one line, without its full stop; its type if it has none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
