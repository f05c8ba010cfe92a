"""Interface of the quantizers: pure functions between a continuous vector and its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.params import Params, split_buffers


class Quantized(NamedTuple):
    """A quantized vector."""

    value: jax.Array  # [D] float32: exactly `lookup` of the indices, with the gradient of the scheme's estimator
    indices: jax.Array  # int32 [P]: one index per codebook
    loss: jax.Array  # a scalar: codebook and commitment loss, summed over D


def _no_batch_loss(params: Params, zs: jax.Array) -> jax.Array:
    return jnp.zeros(())


def _unchanged_buffers(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
    return split_buffers(params)[1]


def _unchanged_params(params: Params, key: jax.Array, zs: jax.Array) -> Params:
    return params


class Quantizer(NamedTuple):
    """A quantization scheme for one vector `[D]`; map it over the places of a grid with `jax.vmap`.

    `params` is a plain dict; arrays not trained by gradient (an averaged codebook, its counts) are under "buffers".
    The last three functions take the vectors of a whole batch, at all places.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params
    quantize: Callable[[Params, jax.Array], Quantized]  # (params, z [D])
    lookup: Callable[[Params, jax.Array], jax.Array]  # (params, indices [P]) -> the value [D], bit for bit
    dim: int  # D
    num_codes: tuple[int, ...]  # K of each of the P indices
    # (params, zs [N, D]) -> a loss of the whole batch, a scalar, such as the entropy of its codes
    batch_loss: Callable[[Params, jax.Array], jax.Array] = _no_batch_loss
    # (params, key, zs [N, D], indices [N, P]) -> the new params["buffers"], or None if there are no buffers
    batch_update: Callable[[Params, jax.Array, jax.Array, jax.Array], Any] = _unchanged_buffers
    # (params, key, zs [N, D]) -> params with codes fitted to the vectors; called before training, not in a step
    fit: Callable[[Params, jax.Array, jax.Array], Params] = _unchanged_params


def check_sizes(num_codes: int, dim: int) -> None:
    """Raises ValueError if num_codes or dim is below 1 or too large."""
    check_count("num_codes (K)", num_codes, most=LARGEST_SIZE)
    check_dim(dim)


def check_dim(dim: int) -> None:
    """Raises ValueError if dim is below 1 or too large."""
    check_count("dim (D, the length of a code)", dim, most=LARGEST_SIZE)
