"""The record that every quantizer is: pure functions between a continuous vector and its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.params import Params, split_buffers


class Quantized(NamedTuple):
    """One vector, quantized."""

    value: jax.Array  # [D] float32: exactly `lookup` of the indices, with the gradient of the scheme's estimator
    indices: jax.Array  # int32 [P]: one for each codebook that the vector meets
    loss: jax.Array  # a scalar: what draws vector and code to each other, summed over D


def _no_batch_loss(params: Params, zs: jax.Array) -> jax.Array:
    return jnp.zeros(())


def _same_buffers(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
    return split_buffers(params)[1]


def _as_initialized(params: Params, key: jax.Array, zs: jax.Array) -> Params:
    return params


class Quantizer(NamedTuple):
    """A scheme from vectors `[D]` to codes, for one vector; map it over the places of a grid with `jax.vmap`.

    `params` is a plain dict; what is not trained by gradient (an averaged codebook, its counts) is under "buffers".
    The last three functions take the vectors of a whole batch, at all places.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params
    quantize: Callable[[Params, jax.Array], Quantized]  # (params, z [D])
    lookup: Callable[[Params, jax.Array], jax.Array]  # (params, indices [P]) -> the value [D], bit for bit
    dim: int  # D
    num_codes: tuple[int, ...]  # K of each of the P indices
    # (params, zs [N, D]) -> a scalar that is of the batch as a whole, such as the entropy of the codes it uses
    batch_loss: Callable[[Params, jax.Array], jax.Array] = _no_batch_loss
    # (params, key, zs [N, D], indices [N, P]) -> the new params["buffers"]; None where there are none
    batch_update: Callable[[Params, jax.Array, jax.Array, jax.Array], Any] = _same_buffers
    # (params, key, zs [N, D]) -> params whose codes are fitted to the vectors: before training, outside the step
    fit: Callable[[Params, jax.Array, jax.Array], Params] = _as_initialized


def check_sizes(num_codes: int, dim: int) -> None:
    """Raises ValueError where a codebook would be empty."""
    check_count("num_codes (K)", num_codes, most=LARGEST_SIZE)
    check_dim(dim)


def check_dim(dim: int) -> None:
    """Raises ValueError where a vector would have no component."""
    check_count("dim (D, the length of a code)", dim, most=LARGEST_SIZE)
