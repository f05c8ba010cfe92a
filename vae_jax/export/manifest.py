"""`manifest.json`, beside the files of an export: what each of them holds, for programs and people who load them."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_jax.export.functions import Function, Functions, Tensor

NAME = "manifest.json"
PRODUCER = "vae_jax export"
FORMAT_VERSION = 1  # goes up when a program that reads an older manifest would misread a newer one


def manifest_of(
    format: str,
    functions: Functions,
    files: Mapping[str, str],
    image_shape: Sequence[int],
    config: Mapping[str, Any],
    packages: Iterable[str],
) -> dict[str, Any]:
    """What `manifest.json` says.

    Args:
      format: of the files.
      functions: of the model.
      files: of each what it holds: the name of a function, or "params" -> the name of the file.
      image_shape: `[H, W, C]` of one example.
      config: of the run that trained the model.
      packages: whose versions the files depend on.
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


def written_here(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else."""
    try:
        manifest = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        return False
    if not isinstance(manifest, dict) or manifest.get("producer") != PRODUCER:
        return False
    return {path.name for path in folder.iterdir()} <= {NAME, *manifest.get("files", [])}
