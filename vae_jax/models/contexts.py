"""Kinds of context: labels or vectors of side information, and their vectors as inputs of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._checks import LARGEST_SIZE, check_count, check_counts
from vae_jax.params import Params, no_params


class ContextKind(NamedTuple):
    """Embedding of contexts as vectors `[size]`, the inputs of networks, and a check of contexts."""

    size: int  # length of the vector
    init: Callable[[jax.Array], Params]  # (key) -> params of the embedding, {} if there are none
    embed: Callable[[Params, Any], jax.Array]  # (params, one context) -> the vector
    check: Callable[[str, Any], None]  # (name, contexts with a leading axis [N]); raises ValueError or TypeError


def labels(num_classes: int) -> ContextKind:
    """Integer labels from 0 to num_classes - 1, as one-hot vectors.

    A traced label that is out of range becomes NaN.

    Raises:
      ValueError: if num_classes is below 1.
    """
    check_count("num_classes", num_classes, most=LARGEST_SIZE)
    one_hot = lambda params, label: jax.nn.one_hot(label, num_classes)
    return _labels(num_classes, num_classes, no_params, one_hot)


def embedded_labels(num_classes: int, dim: int) -> ContextKind:
    """Integer labels from 0 to num_classes - 1, as trained embedding vectors.

    A traced label that is out of range becomes NaN.

    Args:
      num_classes: K, at least 1.
      dim: length of the embedding. The table `[K, dim]` is a parameter, with initial values drawn from N(0, 1).

    Raises:
      ValueError: if num_classes or dim is below 1.
    """
    check_counts(num_classes=num_classes, dim=dim)
    init = lambda key: {"table": jax.random.normal(key, (num_classes, dim))}
    row = lambda params, label: jnp.take(params["table"], label, axis=0, mode="clip")
    return _labels(num_classes, dim, init, row)


def vector(size: int) -> ContextKind:
    """Vectors of numbers `[size]`, such as attributes, cast to float32.

    Raises:
      ValueError: if size is below 1.
    """
    check_count("size", size, most=LARGEST_SIZE)
    wanted = f"a vector of {size} numbers"

    def check(name: str, array: Any) -> None:
        if not jnp.issubdtype(array.dtype, jnp.number) and array.dtype != bool:
            raise TypeError(f"{name} must be {wanted}, got dtype {array.dtype}")
        if not isinstance(array, jax.core.Tracer) and not np.isfinite(np.asarray(array, np.float32)).all():
            raise ValueError(f"{name} must be {wanted}, all finite, got numbers that are not finite")

    return _kind(size, no_params, lambda params, context: context.astype(jnp.float32), check, (size,), wanted)


def _labels(
    num_classes: int, size: int, init: Callable[[jax.Array], Params], row: Callable[[Params, Any], jax.Array]
) -> ContextKind:
    wanted = f"an integer label from 0 to {num_classes - 1}"

    def check(name: str, array: Any) -> None:
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise TypeError(f"{name} must be {wanted}, got dtype {array.dtype}")
        if isinstance(array, jax.core.Tracer):
            return
        labels = np.asarray(array)
        outside = (labels < 0) | (labels >= num_classes)
        if outside.any():
            raise ValueError(f"{name} must be {wanted}, got {labels[outside][0]}")

    def embed(params: Params, label: jax.Array) -> jax.Array:
        # A narrow dtype may not hold num_classes. A uint32 above the range of int32 becomes negative: out of range too.
        label = label.astype(jnp.int32) if label.dtype.itemsize <= 4 else label
        # NaN, because a label out of range must not be taken for another label.
        return jnp.where((label >= 0) & (label < num_classes), row(params, label), jnp.nan)

    return _kind(size, init, embed, check, (), wanted)


def _kind(
    size: int,
    init: Callable[[jax.Array], Params],
    embed: Callable[[Params, jax.Array], jax.Array],
    check_values: Callable[[str, Any], None],
    shape: tuple[int, ...],
    wanted: str,
) -> ContextKind:
    """Makes a kind of context for arrays of one shape, with a check of single contexts and of batches."""

    def checked(name: str, contexts: Any, num_axes: int) -> Any:
        if not jax.tree_util.all_leaves([contexts]):
            raise TypeError(f"{name} must be one array, got a {type(contexts).__name__}")
        array = contexts if isinstance(contexts, jax.Array) else np.asarray(contexts)
        if array.ndim < num_axes:
            raise ValueError(f"{name} must have a leading axis, one entry for each example; it has none")
        if array.shape[num_axes:] != shape:
            per_example = " for each example" if num_axes else ""
            given = f"an array of shape {array.shape[num_axes:]}{per_example}"
            raise ValueError(f"{name} must be {wanted}{per_example}, got {given}")
        check_values(name, array)
        return array

    def check(name: str, contexts: Any) -> None:
        checked(name, contexts, 1)

    return ContextKind(
        size, init, lambda params, context: embed(params, jnp.asarray(checked("context", context, 0))), check
    )
