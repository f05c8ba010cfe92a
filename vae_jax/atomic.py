"""Atomic writes: a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Replaces a file: another process, or a crash, never sees half of it, and a failure leaves nothing beside it.

    Args:
      path: the file, in a folder that is there.
      content: the whole content.
      durable: whether to wait until it is on the disk, so that it outlives a loss of power too.
    """
    with replacing(path, durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a file that takes the place of the one at the path once it is closed without an error.

    Args:
      path: the file, in a folder that is there.
      durable: whether to wait until it is on the disk, so that it outlives a loss of power too.
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
    """Removes a folder; under another name first, so that it is never half there under its own."""
    gone = path.with_name(f"{path.name}.removed")
    shutil.rmtree(gone, ignore_errors=True)  # of a process that was killed
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def is_left_over(path: Path) -> bool:
    """Returns whether a file was left behind by a process that was killed while it wrote."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, on systems that support it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: Path, argument: str) -> None:
    """Raises ValueError, naming the argument, if no file or folder can be made at the path; its parents need not exist.

    Writing is tried, because access rights alone say little for root, or for folders such as /proc.
    """
    whole = path.absolute()
    place = next(place for place in (whole, *whole.parents) if os.path.exists(place))
    try:
        if place == whole and not place.is_dir():
            with place.open("r+b"):
                return
        with tempfile.TemporaryFile(dir=place):
            return
    except OSError as error:
        raise ValueError(f"{argument} {path} cannot be written ({place}: {error.strerror}): give another") from None
