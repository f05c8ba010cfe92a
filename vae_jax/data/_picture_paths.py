"""Search for picture files below a folder: links are followed, and files that are passed over are counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".tga",
)  # fmt: skip
# Pictures to a user, but not read here: formats of more than 8 bits, of vectors or of cameras.
_UNREAD = (
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".orf", ".rw2", ".raw", ".dcm", ".nii", ".ico",
)  # fmt: skip
# Folders that systems leave beside pictures; archives made on a Mac hold a shadow of every file in __MACOSX.
_OF_SYSTEMS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")


class Pictures(NamedTuple):
    """Picture files below a folder."""

    paths: tuple[str, ...]  # sorted
    parts: tuple[tuple[str, ...], ...]  # of each: the names of the folders between the root and the file
    passed_over: Mapping[str, int]  # how many of what


def is_ignored(name: str) -> bool:
    """Returns whether a file or folder is hidden or a system's own."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def find_pictures(root: str) -> Pictures:
    """Finds the picture files below a folder, at any depth, sorted by path.

    Links to files and folders are followed. A folder that is reached twice is read once, where it lies or else at the
    first link to it; a link that leads to a folder around the root is not followed. Hidden and systems' own files and
    folders are ignored.

    Args:
      root: The folder.

    Returns:
      The files, none of them opened, and how many pictures and links were passed over.

    Raises:
      ValueError: If a folder cannot be listed.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    passed_over: Counter[str] = Counter()
    around = os.path.realpath(root) + os.sep
    visited: set[str] = set()
    folders: list[str] = [root]
    links: list[str] = []
    while folders or links:
        if not folders:  # links last, so that a folder inside the root is read where it lies
            links.sort(reverse=True)
        folder = folders.pop() if folders else links.pop()
        target = os.path.realpath(folder)
        if target in visited or (folder != root and around.startswith(target.rstrip(os.sep) + os.sep)):
            passed_over[f"link to a folder that is read already ({os.path.relpath(folder, root)})"] += 1
            continue
        visited.add(target)
        parts = PurePath(os.path.relpath(folder, root)).parts
        for entry in _entries(folder):
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif entry.name.lower().endswith(SUFFIXES):
                found.append((entry.path, parts))
            elif entry.name.lower().endswith(_UNREAD):
                passed_over[f"{os.path.splitext(entry.name)[1].lower()} file"] += 1
            elif entry.is_symlink() and not os.path.exists(entry.path):
                passed_over[f"link that leads nowhere ({os.path.relpath(entry.path, root)})"] += 1
    found.sort()
    return Pictures(tuple(path for path, _ in found), tuple(parts for _, parts in found), passed_over)


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
