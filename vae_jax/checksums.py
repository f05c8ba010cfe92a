"""Checksums of the files in a folder, recorded in `checksums.json`, so that damaged or changed files are detected.

The record holds the SHA-256 of each file, and while a file is replaced those of the old and the new content. The record
is written before the file, so that if a process is killed between the two, the file still matches the record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vae_jax.atomic import sync_folder, write_atomically
from vae_jax.json_files import parse_object, read_text

NAME = "checksums.json"
_MOST_BYTES = 16 * 2**20  # largest size of a record


class Damaged(ValueError):
    """Raised if a file is missing or differs from its checksum."""


def recorded(folder: Path) -> dict[str, list[str]] | None:
    """Reads the checksums of a folder by relative file name; returns None if it has no record.

    Raises:
      Damaged: If the record cannot be read.
    """
    path = folder / NAME
    if not os.path.exists(path):
        return None
    try:
        files = parse_object(read_text(path, _MOST_BYTES))["files"]
        if not all(isinstance(digests, list) for digests in files.values()):
            raise ValueError("it must hold lists of checksums")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{NAME} is damaged ({_line(error)})") from None
    return files


def write_recorded(folder: Path, name: str, content: str | bytes, durable: bool = True) -> None:
    """Replaces a file of a folder, and its checksum in the record.

    Args:
      folder: Folder of the file and the record.
      name: Name of the file, relative to the folder.
      content, durable: As for `write_atomically`.

    Raises:
      Damaged: If the record cannot be read.
    """
    content = content.encode() if isinstance(content, str) else content
    files = recorded(folder) or {}
    # Keeps only the checksum of the current file: an earlier write that was recorded may have been interrupted.
    current = _digest(folder / name) if name in files else None
    files[name] = [
        *(digest for digest in files.get(name, ()) if digest == current),
        hashlib.sha256(content).hexdigest(),
    ]
    _write_record(folder, files, durable)
    write_atomically(folder / name, content, durable)


def begin_record(folder: Path, names: Collection[str] = ()) -> None:
    """Writes a new record of the named files that exist, and replaces any other record."""
    _write_record(folder, {name: [digest] for name in names if (digest := _digest(folder / name))}, durable=True)


def remove_recorded(folder: Path, name: str) -> None:
    """Removes a file of a folder, if it exists, and its checksum from the record."""
    (folder / name).unlink(missing_ok=True)
    files = recorded(folder) or {}
    if files.pop(name, None) is not None:
        _write_record(folder, files, durable=True)


def check_content(folder: Path, name: str, content: bytes) -> None:
    """Raises Damaged if the content of a file differs from the folder's record; a folder without a record passes."""
    files = recorded(folder)
    if files is not None and hashlib.sha256(content).hexdigest() not in files.get(name, ()):
        raise Damaged(f"{name} is damaged or was changed by hand (its checksum differs)")


def check_listed(manifest: Mapping[str, Any], name: str, content: bytes) -> None:
    """Raises Damaged if the content of a file differs from an export's manifest; one without checksums passes."""
    listed = manifest.get("checksums", {name: None})
    known = listed.get(name) if isinstance(listed, dict) else ""
    if known not in (None, {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}):
        raise Damaged(f"{name} does not match its checksum in manifest.json: it is damaged or was changed")


def seal(folder: Path) -> None:
    """Writes the record of all files below a folder, after they are on the disk."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                files[path.relative_to(folder).as_posix()] = [hashlib.file_digest(file, "sha256").hexdigest()]
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    _write_record(folder, files, durable=True)


def check_sealed(folder: Path, items: Collection[str]) -> None:
    """Checks the files directly in a sealed folder, and those below some of its subfolders.

    Args:
      folder: A folder with a record by `seal`.
      items: Names of the subfolders to check.

    Raises:
      Damaged: If a file is missing or differs, or the folder has no record.
    """
    files = recorded(folder)
    if files is None:
        raise Damaged(f"{NAME} is missing")
    for item in items:
        if not any(name.startswith(f"{item}/") for name in files):
            raise Damaged(f"{item} is not in {NAME}")
    for name, digests in files.items():
        if "/" in name and name.partition("/")[0] not in items:
            continue
        # A record of unknown origin may name a device, or a file outside the folder.
        if ".." in Path(name).parts or not (folder / name).is_file():
            raise Damaged(f"{name} is missing")
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Damaged(f"{name} cannot be read ({_line(error)})") from None
        if digest not in digests:
            raise Damaged(f"{name} is damaged (its checksum differs)")


def _digest(path: Path) -> str | None:
    """SHA-256 of a file, or None if there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_record(folder: Path, files: dict[str, list[str]], durable: bool) -> None:
    write_atomically(folder / NAME, json.dumps({"files": files}, indent=1) + "\n", durable)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
