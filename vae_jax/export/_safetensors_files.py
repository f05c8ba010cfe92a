"""Parameters as a safetensors file: each array by its path, such as "decoder/hidden_0/kernel"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.memory import memory_bytes
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.safetensors_header import Stored, read_header


def write_params(params: Params, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes all parameters, buffers too, to a file.

    Args:
      params: a tree of arrays, of any numeric type and rank.
      path: of the file, which is overwritten.
      metadata: strings by name, kept in the file's header.

    Raises:
      ValueError: where the package safetensors is missing, or two leaves have one path.
    """
    numpy_format = require_safetensors().numpy
    leaves = _by_path(params)
    arrays = {name: np.asarray(jnp.asarray(leaf), order="C") for name, leaf in leaves.items()}
    numpy_format.save_file(arrays, path, dict(metadata or {}))


def read_params(model: Model, path: str | Path) -> Params:
    """Reads the parameters of a model from a file of `write_params`.

    Names, shapes and types are compared with the model's, and the file's size with theirs, before any memory is taken.

    Args:
      model: the model; its `init` says which arrays there must be.
      path: the file.

    Returns:
      The tree, with buffers.

    Raises:
      ValueError: there is no such file, the package safetensors is missing, the file holds other names, shapes or
        types than the model, or numbers that are not finite, or is larger than the memory of this machine.
    """
    package, path = require_safetensors(), Path(path)
    if not path.is_file():
        raise ValueError(f"path must be a safetensors file, got {path}: there is no such file")
    template = jax.eval_shape(model.init, jax.random.key(0))
    expected = _by_path(template)
    try:
        stored = read_header(path).arrays
    except (OSError, ValueError) as error:
        raise ValueError(f"path must be a safetensors file, got {path}: {error}") from error
    _check_belongs(path, stored, expected)
    try:
        arrays = package.numpy.load_file(path)
    except package.SafetensorError as error:
        raise ValueError(f"path must be a safetensors file, got {path}: {error}") from error
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.inexact) or array.dtype == jnp.bfloat16:
            wrong = array.size - int(np.count_nonzero(np.isfinite(array)))
            if wrong:
                raise ValueError(f"{path}: {name} holds {wrong:,} numbers that are not finite")
    return jax.tree.unflatten(jax.tree.structure(template), [jnp.asarray(arrays[name]) for name in expected])


def _check_belongs(path: Path, stored: Mapping[str, Stored], expected: Mapping[str, Any]) -> None:
    """Checks that a file of these arrays holds the parameters of the model, and that they fit in memory."""
    _check_names(path, expected.keys() - stored.keys(), "lacks", "has")
    _check_names(path, stored.keys() - expected.keys(), "has", "lacks")
    for name, leaf in expected.items():
        wanted = Stored(str(leaf.dtype), leaf.shape)
        if stored[name] != wanted:
            raise ValueError(
                f"{path} does not belong to this model: {name} is {stored[name]} in the file, the model has {wanted}"
            )
    size, available = path.stat().st_size, memory_bytes()
    if available is not None and size > available:
        raise ValueError(f"{path} needs {size:,} bytes of memory, but there are {available:,}")


def _by_path(tree: Any) -> dict[str, Any]:
    """The leaves in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("params must have one path for each array, but two have the same: a name in it has a slash")
    return named


def _check_names(path: Path, names: set[str], file: str, model: str) -> None:
    if names:
        some = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        raise ValueError(f"{path} does not belong to this model: it {file} {some}, which the model {model}")


def require_safetensors() -> ModuleType:
    """The package; raises ValueError where it is not installed."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ValueError(
            'safetensors files need the package safetensors, which is not installed: pip install "vae_jax[safetensors]"'
        ) from error
    return safetensors
