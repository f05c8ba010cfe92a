"""Posteriors q(z | x): distributions over z parameterized by the outputs of an encoder network, with their priors.

You can write your own `Posterior`: parameters, such as those of a flow, are made by its `init`, and the amortized
parameters of each example are outputs of the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Delta, Distribution, MultivariateNormal, Normal
from vae_jax.distributions._checks import LARGEST_SIZE, check_count, check_sizes
from vae_jax.params import Params, no_params


class Posterior(NamedTuple):
    """Shape of an encoder's outputs, their distribution q(z | x), and the prior p(z)."""

    output_shape: Any  # shape of the encoder's outputs, or a tree of shapes
    init: Callable[[jax.Array], Params]  # (key) -> params of the posterior, {} if there are none
    distribution: Callable[[Params, Any], Distribution]  # (params, outputs) -> q(z | x)
    prior: Callable[[], Distribution]  # () -> p(z), without parameters


def normal(shape: int | Sequence[int]) -> Posterior:
    """q(z | x) = N(mean, diag exp(log_variance)), with p(z) = N(0, I).

    Args:
      shape: length D of z, or its shape, such as `(h, w, c)`. The encoder gives one vector `[2 D]`, where D is the
        product of the shape: all means followed by all log-variances, in row-major order.

    Raises:
      ValueError: if z would be empty.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix C.
    """
    event = _shape(shape)

    def distribution(params: Params, outputs: jax.Array) -> Normal:
        mean, log_variance = jnp.split(outputs, 2)
        return Normal(mean.reshape(event), log_variance.reshape(event))

    return Posterior((2 * math.prod(event),), no_params, distribution, lambda: _standard_normal(event))


def full_covariance(dim: int) -> Posterior:
    """q(z | x) = N(mean, L L^T) with a lower triangular factor L for each x, and p(z) = N(0, I).

    The encoder gives one vector `[2 D + D (D - 1) / 2]`: the means, the logarithm of the diagonal of L (half the
    log-variance of `normal` if L is diagonal), and the entries of L below the diagonal, row by row.

    Args:
      dim: D, the length of z; at least 1.

    Raises:
      ValueError: if dim is below 1.

    Source: Kingma & Welling 2019 (arXiv:1906.02691), section 2.5.1.
    """
    check_count("dim", dim, most=math.isqrt(LARGEST_SIZE))  # L has dim^2 entries
    # Index of each entry of L in (diagonal, entries below it, 0): ONNX export supports a gather, but no scatter.
    num_below = dim * (dim - 1) // 2
    places = np.full((dim, dim), dim + num_below)
    places[np.diag_indices(dim)] = np.arange(dim)
    places[np.tril_indices(dim, -1)] = dim + np.arange(num_below)

    def distribution(params: Params, outputs: jax.Array) -> MultivariateNormal:
        mean, log_diagonal, below = jnp.split(outputs, [dim, 2 * dim])
        entries = jnp.concatenate([jnp.exp(log_diagonal), below, jnp.zeros(1, below.dtype)])
        return MultivariateNormal(mean, entries[places])

    return Posterior((2 * dim + num_below,), no_params, distribution, lambda: _standard_normal((dim,)))


def delta(shape: int | Sequence[int]) -> Posterior:
    """q(z | x) = point mass at the encoder's outputs, as in an autoencoder, with p(z) = N(0, I).

    Args:
      shape: length D of z and of the encoder's outputs, or their shape, such as `(h, w, c)`.

    Raises:
      ValueError: if z would be empty.
    """
    event = _shape(shape)
    return Posterior(event, no_params, lambda params, outputs: Delta(outputs), lambda: _standard_normal(event))


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Shape of z as a tuple; raises ValueError if z would be empty."""
    most = LARGEST_SIZE // 2  # an encoder gives twice as many numbers
    if isinstance(shape, Sequence):
        check_sizes("shape", shape)
        event = tuple(shape)
        check_count("the number of entries of shape", math.prod(event), most=most)
        return event
    check_count("shape", shape, most=most)
    return (shape,)


def _standard_normal(shape: tuple[int, ...]) -> Normal:
    return Normal(jnp.zeros(shape), jnp.zeros(shape))
