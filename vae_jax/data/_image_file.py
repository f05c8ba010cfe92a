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

from vae_jax.data._checks import MOST_PIXELS, height_and_width, integer_between

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # an EXIF tag; from 5 on rows become columns
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}


def read_image(path: str | Path, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    """Reads a picture file as uint8 `[H, W, C]`, C = 1 (gray) or 3 (color), upright as viewers show it.

    Args:
      path: Path of a picture file.
      shape: (H, W, C) of the result.
      resize: Resize an image of another size: the shorter side is resized and the middle cropped.

    Raises:
      ValueError: If there is no such file, it is not a still image of 8 bits, or it has another size and resize is
        False.
    """
    if len(shape) != 3:
        raise ValueError(f"shape must be (height, width, channels), got {tuple(shape)}")
    height, width = height_and_width("shape", tuple(shape[:2]))
    channels = integer_between("shape's number of channels", shape[2], 1, 3)
    if channels == 2:
        raise ValueError(f"shape must have 1 or 3 channels, got {tuple(shape)}")
    path = os.fspath(path)
    with without_bomb_warnings():
        header = header_of(path)
    if header.size != (width, height) and not resize:
        raise ValueError(
            f"{path} must be of {size_text((width, height))} pixels, got {size_text(header.size)}: give --resize "
            "(resize=True) to resize it, or another image"
        )
    return decode_file(path, (height, width, channels), resize)


def decode_file(path: str, shape: tuple[int, ...], resize: bool = False) -> np.ndarray:
    """Decodes the pixels of a file, upright, uint8 `[H, W, C]`.

    Args:
      path: Path of a file that `header_of` accepts.
      shape: (H, W, C) of the result.
      resize: Resize an image of another size: the shorter side is resized (Lanczos) and the middle cropped.

    Raises:
      ValueError: If the file cannot be decoded, shows transparency, or has another size and resize is False.
    """
    from PIL import Image, ImageOps

    mode, size = "RGB" if shape[-1] == 3 else "L", (shape[1], shape[0])
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            # Palette images may be transparent, and converting would show the hidden color.
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise ValueError("expected an image without transparency; flatten it onto a background first")
            image = image.convert("RGB" if image.mode in ("P", "PA") else mode).convert(mode)
            if image.size != size:
                if not resize:
                    raise ValueError(f"expected {size_text(size)} pixels as in its header, got {size_text(image.size)}")
                image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
            return np.asarray(image).reshape(shape)
    except Exception as error:  # Pillow raises errors of any type on a damaged file
        raise ValueError(f"{path}: cannot be used as an image: {_reason(error)}.") from error


def size_text(size: tuple[int, int]) -> str:
    """Width and height, as text."""
    return f"{size[0]} x {size[1]}"


class Header(NamedTuple):
    """Properties of a picture file, from its header."""

    size: tuple[int, int]  # width, height, upright as viewers show it
    color: bool
    rotated: bool  # by the EXIF tag
    frames: int  # more than 1 only for a photo followed by further pictures (MPO)


@contextlib.contextmanager
def without_bomb_warnings() -> Iterator[None]:
    """Silences Pillow's warning about pictures above half of MOST_PIXELS, which `header_of` accepts.

    Warning filters are shared by threads: enter this context before threads start.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def header_of(file: str) -> Header:
    """Reads the header of a picture file, without its pixels.

    Raises:
      ValueError: If the path is not a regular file, or the file cannot be read, is not a still image, does not have 8
        bits per channel, is neither gray nor RGB, or claims more than MOST_PIXELS pixels.
    """
    from PIL import Image, UnidentifiedImageError

    _require_regular_file(file)
    try:
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            # PngImageFile.getexif would decode the picture, to find a tag behind the pixels.
            orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
            size, mode, deep, format_ = _stored_size(image), image.mode, _is_deep(image), image.format
            color = mode in _MODES and _is_color(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{file}: expected an image file, got contents that Pillow does not recognize.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{file}: expected at most {MOST_PIXELS:,} pixels, got more; resize it first.") from error
    except Exception as error:  # Pillow raises errors of any type on a damaged file
        raise ValueError(f"{file}: expected an image file that can be read: {_reason(error)}.") from error
    if frames != 1 and format_ != "MPO":
        raise ValueError(f"{file}: expected a still image, got {frames} frames.")
    if deep or mode in ("I", "F") or mode.startswith("I;"):
        depth = "" if mode in ("I", "F") or mode.startswith("I;") else " of 16 bits a channel"
        raise ValueError(f"{file}: expected 8 bits a channel, got mode {mode}{depth}; convert it to 8 bits first.")
    if mode not in _MODES:
        raise ValueError(f"{file}: expected a gray or RGB image, got mode {mode}; convert it to RGB first.")
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"{file}: expected at most {MOST_PIXELS:,} pixels, got {size_text(size)}; resize it first.")
    return Header(size[::-1] if orientation >= 5 else size, color, orientation != 1, frames)


def _require_regular_file(path: str) -> None:
    """Raises for anything but a regular file: opening a named pipe would wait forever."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError as error:
        what = "a link that leads nowhere" if os.path.islink(path) else str(error.strerror)
        raise ValueError(f"{path}: expected an image file that can be read, got {what}.") from error
    if kind != stat.S_IFREG:
        raise ValueError(f"{path}: expected an image file, got {_KINDS.get(kind, 'a device')}.")


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height before rotation; for TIFF, versions of Pillow differ in the meaning of `size`."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (int(tags[256]), int(tags[257]))


def _is_deep(image: Image.Image) -> bool:
    """Returns whether Pillow would truncate the channels to 8 bits, as it does for 16-bit RGB."""
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
    """Message of an exception in one line, without its full stop; its type if it has no message."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
