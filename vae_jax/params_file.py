"""Parameters of a model in a safetensors file, which is checked against the model when it is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.atomic import write_atomically
from vae_jax.memory import memory_bytes
from vae_jax.params import Params
from vae_jax.safetensors_header import Stored, make_header, read_header

_FORMAT = "vae_jax params 1"
_OWN = ("format", "sha256")  # reserved names in the metadata of a file


class HasInit(Protocol):
    """Anything with an `init`: a VAE, a Conditional, a prior over codes."""

    @property
    def init(self) -> Callable[[jax.Array], Params]: ...


def save_params(path: str | Path, params: Params, metadata: Mapping[str, str] | None = None) -> None:
    """Saves parameters, including buffers, in a safetensors file, which is written atomically.

    Arrays are named by their path in the tree, such as "decoder/hidden_0/kernel"; the metadata holds a SHA-256 of all
    arrays. Save from a single process: all processes have the same arrays.

    Args:
      path: Path of the file, in an existing folder; an existing file is replaced.
      params: A pytree of arrays of booleans, integers or floating-point numbers, of any rank.
      metadata: Texts by name, stored in the header of the file. The names "format" and "sha256" are reserved.

    Raises:
      ValueError: If a leaf is something else (a PRNG key, a complex number), two leaves have the same path, or metadata
        has a reserved name.
      OSError: If the file cannot be written; an existing file stays.
    """
    if taken := [name for name in _OWN if name in (metadata or {})]:
        raise ValueError(f"metadata must not use the reserved names {' and '.join(_OWN)}, got {taken[0]!r}")
    arrays = _arrays(params)
    stored = _stored(arrays)
    content = [array.tobytes() for array in arrays.values()]
    own = dict(zip(_OWN, (_FORMAT, _checksum(stored, content)), strict=True))
    write_atomically(Path(path), b"".join([make_header(stored, {**(metadata or {}), **own}), *content]))


def load_params(path: str | Path, model: HasInit) -> Params:
    """Loads the parameters of a model from a file of `save_params`, or any safetensors file with the same arrays.

    Names, shapes and types of the arrays must be those of `model.init`; they and the file size are checked before
    memory is allocated. The checksum in a file of `save_params` is verified; files of other programs have none. Numbers
    that are not finite are accepted.

    Args:
      path: Path of the file.
      model: The model, whose `init` determines the expected arrays.

    Raises:
      ValueError: If the file is missing, is not a safetensors file, is damaged or cut short, holds the parameters of
        another model (the message names the first leaf that differs), or does not fit in memory.
      TypeError: If model has no `init`.
    """
    path = Path(path)
    if not callable(getattr(model, "init", None)):
        raise TypeError(f"model must have an init, such as a vae_jax.VAE, got {type(model).__name__}")
    template = jax.eval_shape(model.init, jax.random.key(0))
    expected = _by_name(template)
    try:
        header = read_header(path)
        own = {name: header.metadata[name] for name in _OWN if name in header.metadata}
        if "sha256" in own and own.get("format") != _FORMAT:
            raise ValueError(f'its metadata has a sha256, so the format must be "{_FORMAT}"')
    except FileNotFoundError:
        raise ValueError(f"path must be a safetensors file, got {path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"path must be a safetensors file, got {path}: {error}") from None
    _check_belong(f"{path} does not belong to this model:", header.arrays, "in the file", expected)
    size, available = path.stat().st_size, memory_bytes()
    if available is not None and size > available:
        raise ValueError(f"{path} needs {size:,} bytes of memory, but there are only {available:,}")
    with path.open("rb") as file:
        file.seek(header.length)
        content = {name: file.read(stored.nbytes) for name, stored in header.arrays.items()}
    if own.get("format") == _FORMAT and _checksum(header.arrays, content.values()) != own.get("sha256"):
        raise ValueError(f"{path} is damaged or was changed: its checksum differs")
    array = lambda name, leaf: jnp.array(np.frombuffer(content[name], leaf.dtype).reshape(leaf.shape))
    leaves = [array(name, leaf) for name, (_, leaf) in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def check_params(params: Params, model: HasInit) -> None:
    """Checks that parameters have the paths, shapes and types of a model's parameters.

    Raises:
      ValueError: If they differ (the message names the first leaf), or `save_params` cannot save a leaf.
    """
    expected = _by_name(jax.eval_shape(model.init, jax.random.key(0)))
    _check_belong("params do not belong to this model:", _stored(_arrays(params)), "here", expected)


def check_finite(params: Params) -> None:
    """Raises ValueError, naming the first leaf, if parameters are not finite."""
    for place, leaf in _by_name(params).values():
        array = _array(place, leaf)
        if jnp.issubdtype(array.dtype, jnp.floating) and (wrong := int(np.count_nonzero(~np.isfinite(array)))):
            raise ValueError(f"{place} holds {wrong:,} numbers that are not finite")


def _by_name(tree: Any) -> dict[str, tuple[str, Any]]:
    """Returns {name in the file: (place as a Python expression, leaf)}, in the order of the tree."""
    named: dict[str, tuple[str, Any]] = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "params"
        place = f"params{jax.tree_util.keystr(path)}"
        if name in named or name == "__metadata__":
            raise ValueError(f"{place} has the name {name!r} in a file, which is used already: rename it")
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise ValueError(f"{place} must be an array of numbers, got a PRNG key: save jax.random.key_data(key)")
        named[name] = place, leaf
    return named


def _arrays(params: Params) -> dict[str, np.ndarray]:
    """Leaves on the host, by their names in a file."""
    return {name: _array(place, leaf) for name, (place, leaf) in _by_name(params).items()}


def _stored(arrays: Mapping[str, np.ndarray]) -> dict[str, Stored]:
    return {name: Stored(str(array.dtype), array.shape) for name, array in arrays.items()}


def _array(place: str, leaf: Any) -> np.ndarray:
    """Leaf on the host, in row-major order."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        raise ValueError(f"{place} is on devices of other processes: replicate it before it is saved")
    try:
        array = np.asarray(leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf), order="C")
    except (TypeError, ValueError):
        raise ValueError(f"{place} must be an array of numbers, got {type(leaf).__name__}") from None
    make_header({place: Stored(str(array.dtype), array.shape)}, {})  # raises for a type that the file cannot hold
    return array


def _checksum(stored: Mapping[str, Stored], content: Iterable[bytes]) -> str:
    """SHA-256 of the names, types and shapes, followed by the bytes of the arrays."""
    digest = hashlib.sha256(json.dumps([[name, *stored[name]] for name in stored]).encode())
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def _check_belong(
    start: str, stored: Mapping[str, Stored], where: str, expected: Mapping[str, tuple[str, Any]]
) -> None:
    """Raises ValueError, naming the first leaf that differs, if the arrays are not those of the model.

    Args:
      start: Start of the message.
      stored: The arrays.
      where: Location of the arrays, for the message.
      expected: `_by_name` of the model's parameters.
    """
    for name, (place, leaf) in expected.items():
        if name not in stored:
            raise ValueError(f"{start} {place} of the model is missing {where}")
        wanted = Stored(str(leaf.dtype), leaf.shape)
        if stored[name] != wanted:
            raise ValueError(f"{start} {place} is {stored[name]} {where}, but {wanted} in the model")
    for name in stored:
        if name not in expected:
            raise ValueError(f"{start} {name[:80]!r} {where} is missing in the model")
