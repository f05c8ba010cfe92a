"""`manifest.json`, the description of an export's files for programs and people that load them."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISREG
from typing import Any

from vae_jax.export._functions import Function, Functions, Tensor
from vae_jax.json_files import parse_object, read_text

NAME = "manifest.json"
PRODUCER = "vae_jax export"
# Files that `vae_jax.load` reads from an export.
LOADED = ("config.json", "summary.json", "params.safetensors")
FORMAT_VERSION = 1  # increases if programs for older manifests would misread newer ones


def manifest_of(
    format: str,
    functions: Functions,
    files: Mapping[str, str],
    image_shape: Sequence[int],
    config: Mapping[str, Any],
    packages: Iterable[str],
) -> dict[str, Any]:
    """Content of `manifest.json`.

    Args:
      format: Export format of the files.
      functions: Functions of the model.
      files: {name of a function, or "params": file name}.
      image_shape: `[H, W, C]` of one example.
      config: Configuration of the run that trained the model.
      packages: Packages whose versions the files depend on.
    """
    return {
        "producer": PRODUCER,
        "format_version": FORMAT_VERSION,
        "format": format,
        "files": sorted(files.values()),
        "functions": {f.name: _entry(f, files[f.name]) for f in functions.written if f.name in files},
        "params": files.get("params"),
        "left_out": functions.left_out,
        "image_shape": list(image_shape),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "config": dict(config),
    }


def _entry(function: Function, file: str) -> dict[str, Any]:
    described = lambda tensors: [_tensor(tensor) for tensor in tensors]
    return {"file": file, "inputs": described(function.inputs), "outputs": described(function.outputs)}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {**tensor._asdict(), "shape": ["N", *tensor.shape]}


def with_checksums(manifest: Mapping[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Adds size and SHA-256 of the named files in the folder to the manifest."""
    return {**manifest, "checksums": {name: _checksum(folder / name) for name in sorted(names)}}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Reads the manifest in a folder; returns None if there is none.

    Raises:
      ValueError: If the manifest cannot be read or names a file outside the folder.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        manifest = parse_object(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    names, checksums = manifest.get("files", []), manifest.get("checksums", {})
    if not isinstance(names, list) or not isinstance(checksums, dict):
        raise ValueError(f"{path} must hold a list of files and an object of checksums")
    for name in (*names, *checksums):
        # Plain names by the rules of both POSIX and Windows.
        plain = isinstance(name, str) and PurePosixPath(name).name == name == PureWindowsPath(name).name
        if not plain or name in ("", ".", "..") or "\0" in name:
            raise ValueError(f"{path} must only name files in its own folder, got {name!r}")
    return manifest


def verify(folder: Path, names: Iterable[str] = LOADED) -> bool:
    """Verifies files of an export against the checksums in its manifest.

    Args:
      folder: Folder of the export.
      names: Names of the files to verify.

    Returns:
      True if the files were verified; False if there are no checksums (a manifest of an earlier version has none).

    Raises:
      ValueError: If a file is missing, not listed, or has another size or content.
    """
    manifest = read_manifest(folder)
    if manifest is None or "checksums" not in manifest:
        return False
    for name in names:
        known = manifest["checksums"].get(name)
        if not isinstance(known, dict):
            raise ValueError(f"{folder / NAME} has no checksum of {name}: export it again")
        path = folder / name
        try:
            about = path.stat()
            found = _checksum(path) if S_ISREG(about.st_mode) and about.st_size == known.get("size") else None
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}): export it again") from None
        if found != known:
            raise ValueError(f"{path} does not match its checksum in {NAME}: it is damaged or was changed")
    return True


def _checksum(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def is_export(folder: Path) -> bool:
    """Returns True if a folder holds an export and nothing else."""
    try:
        manifest = read_manifest(folder)
    except ValueError:
        return False
    if manifest is None or manifest.get("producer") != PRODUCER:
        return False
    return {path.name for path in folder.iterdir()} <= {NAME, *manifest.get("files", [])}
