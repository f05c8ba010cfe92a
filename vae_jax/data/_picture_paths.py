"""Search for picture files below a folder: links are followed, and skipped files are counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".tga",
)  # fmt: skip
# Picture formats that are not supported: more than 8 bits, vector graphics, raw camera files.
_UNREAD = (
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".orf", ".rw2", ".raw", ".dcm", ".nii", ".ico",
)  # fmt: skip
# Folders that operating systems leave beside pictures; archives made on a Mac have a second file for each in __MACOSX.
_SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")


class Pictures(NamedTuple):
    """Picture files below a folder."""

    paths: tuple[str, ...]  # sorted
    parts: tuple[tuple[str, ...], ...]  # names of the folders between the root and each file
    skipped: Mapping[str, int]  # numbers of skipped files, by kind


def is_ignored(name: str) -> bool:
    """Returns whether a file or folder is hidden or belongs to an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def find_pictures(root: str) -> Pictures:
    """Finds the picture files below a folder, at any depth, sorted by path.

    Links to files and folders are followed. A folder that is reached twice is read once, at its own place or else at
    the first link to it; a link to a folder that contains the root is not followed. Hidden files and folders, and those
    of operating systems, are ignored.

    Args:
      root: The folder.

    Returns:
      The files, none of them opened, and the numbers of skipped pictures and links.

    Raises:
      ValueError: If a folder cannot be listed.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    skipped: Counter[str] = Counter()
    around = os.path.realpath(root) + os.sep
    visited: set[str] = set()
    folders: list[str] = [root]
    links: list[str] = []
    while folders or links:
        if not folders:  # links last, so that a folder inside the root is read at its own place
            links.sort(reverse=True)
        folder = folders.pop() if folders else links.pop()
        target = os.path.realpath(folder)
        if target in visited or (folder != root and around.startswith(target.rstrip(os.sep) + os.sep)):
            skipped[f"link to a folder that is already read ({os.path.relpath(folder, root)})"] += 1
            continue
        visited.add(target)
        parts = PurePath(os.path.relpath(folder, root)).parts
        for entry in _entries(folder):
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif entry.name.lower().endswith(SUFFIXES):
                found.append((entry.path, parts))
            elif entry.name.lower().endswith(_UNREAD):
                skipped[f"{os.path.splitext(entry.name)[1].lower()} file"] += 1
            elif entry.is_symlink() and not os.path.exists(entry.path):
                skipped[f"link that leads nowhere ({os.path.relpath(entry.path, root)})"] += 1
    found.sort()
    return Pictures(tuple(path for path, _ in found), tuple(parts for _, parts in found), skipped)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not is_ignored(entry.name))
    except OSError as error:
        raise ValueError(f"{folder}: expected a folder that can be read, got: {error.strerror}.") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
