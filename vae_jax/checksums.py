"""Checksums of the files in a folder, kept in `checksums.json` beside them: what is read is what was written.

The record holds for each file the SHA-256 of its content, and while it is replaced of both, the old and the new. It is
replaced before the file is, so that a process that is killed between the two leaves a file that its record knows,
however often that happens.
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
_MOST_BYTES = 16 * 2**20  # of a record


class Damaged(ValueError):
    """Error for a file that differs from what was written, or is missing."""


def recorded(folder: Path) -> dict[str, list[str]] | None:
    """Checksums recorded for a folder, by file name relative to it; None if it has no record.

    Raises:
      Damaged: the record itself cannot be read.
    """
    path = folder / NAME
    if not os.path.exists(path):
        return None
    try:
        files = parse_object(read_text(path, _MOST_BYTES))["files"]
        if not all(isinstance(digests, list) for digests in files.values()):
            raise ValueError("it holds no lists of checksums")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{NAME} is damaged ({_line(error)})") from None
    return files


def write_recorded(folder: Path, name: str, content: str | bytes, durable: bool = True) -> None:
    """Replaces a file of a folder, and its checksum in the folder's record.

    Args:
      folder: of the file and the record.
      name: of the file, relative to the folder.
      content, durable: as `write_atomically` takes them.

    Raises:
      Damaged: the record cannot be read.
    """
    content = content.encode() if isinstance(content, str) else content
    files = recorded(folder) or {}
    # The content that is there, if it is one that was written: the last in the record may never have come there.
    there = _digest(folder / name) if name in files else None
    files[name] = [*(digest for digest in files.get(name, ()) if digest == there), hashlib.sha256(content).hexdigest()]
    _write_record(folder, files, durable)
    write_atomically(folder / name, content, durable)


def begin_record(folder: Path, names: Collection[str] = ()) -> None:
    """Writes a new record of the files of those names that are there, in the place of any other."""
    _write_record(folder, {name: [digest] for name in names if (digest := _digest(folder / name))}, durable=True)


def remove_recorded(folder: Path, name: str) -> None:
    """Removes a file of a folder, if it is there, and its checksum from the record."""
    (folder / name).unlink(missing_ok=True)
    files = recorded(folder) or {}
    if files.pop(name, None) is not None:
        _write_record(folder, files, durable=True)


def check_content(folder: Path, name: str, content: bytes) -> None:
    """Raises Damaged if a file that was read is not what the folder's record says; a folder without one is trusted."""
    files = recorded(folder)
    if files is not None and hashlib.sha256(content).hexdigest() not in files.get(name, ()):
        raise Damaged(f"{name} is damaged or was changed by hand (its checksum differs)")


def check_listed(manifest: Mapping[str, Any], name: str, content: bytes) -> None:
    """Raises Damaged if a file is not what an export's manifest says; a manifest without checksums is trusted."""
    listed = manifest.get("checksums", {name: None})
    known = listed.get(name) if isinstance(listed, dict) else ""
    if known not in (None, {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}):
        raise Damaged(f"{name} does not match its checksum in manifest.json: it is damaged or was changed")


def seal(folder: Path) -> None:
    """Writes the record of all files below a folder, once they are on the disk."""
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
    """Checks the files directly in a sealed folder, and those below some of its folders.

    Args:
      folder: of `seal`.
      items: names of the folders in it.

    Raises:
      Damaged: a file is missing or differs, or the folder has no record.
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
        # A stranger's record may name a device, or a file elsewhere.
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
    """SHA-256 of a file; None if there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_record(folder: Path, files: dict[str, list[str]], durable: bool) -> None:
    write_atomically(folder / NAME, json.dumps({"files": files}, indent=1) + "\n", durable)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
