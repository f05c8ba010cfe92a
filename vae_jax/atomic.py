"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Replaces a file atomically: no process or crash finds a partial file, and a failure leaves no temporary file.

    Args:
      path: Path of the file, in an existing folder.
      content: Complete content of the file.
      durable: Wait until the content is on the disk, so that it survives a loss of power.
    """
    with replacing(path, durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces the file at the path if the block ends without an error.

    Args:
      path: Path of the file, in an existing folder.
      durable: Wait until the content is on the disk, so that it survives a loss of power.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Removes a folder, which is renamed first, so that it is never incomplete under its own name."""
    renamed = path.with_name(f"{path.name}.removed")
    shutil.rmtree(renamed, ignore_errors=True)  # left by a process that was killed
    path.rename(renamed)
    shutil.rmtree(renamed, ignore_errors=True)


def is_left_over(path: Path) -> bool:
    """Returns whether a file is the temporary file of a process that was killed while writing."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def sync_folder(folder: Path) -> None:
    """Waits until the entries of a folder are on the disk, on systems that support it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: Path, argument: str) -> None:
    """Raises ValueError, naming the argument, if no file or folder can be created at the path; parents may be missing.

    The check writes a temporary file, because permissions alone do not tell for root or for folders such as /proc.
    """
    target = path.absolute()
    place = next(place for place in (target, *target.parents) if os.path.exists(place))
    try:
        if place == target and not place.is_dir():
            with place.open("r+b"):
                return
        with tempfile.TemporaryFile(dir=place):
            return
    except OSError as error:
        raise ValueError(
            f"{argument} {path} cannot be written ({place}: {error.strerror}): give another path"
        ) from None
