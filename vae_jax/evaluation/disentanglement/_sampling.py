"""Sampling of the images of a code table that a score uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.disentanglement._table import CodeTable, factors_at


class Labeled(NamedTuple):
    """n codes and the factors of their images."""

    codes: np.ndarray  # [n, D]
    factors: np.ndarray  # int [n, K]


def draw(table: CodeTable, key: jax.Array, count: int) -> Labeled:
    """Draws `count` images with replacement, all combinations of factors equally likely."""
    indices = jax.random.randint(key, (count,), 0, table.means.shape[0])
    factors = factors_at(indices, table.factor_sizes)
    return Labeled(np.asarray(table.means[indices]), np.asarray(factors))


def indices_with_one_fixed(key: jax.Array, factor: jax.Array, count: int, factor_sizes: Sequence[int]) -> jax.Array:
    """Draws flat indices `[count]` of images that share a random value of one factor; other factors are independent."""
    sizes = jnp.asarray(factor_sizes)
    values = jax.random.randint(key, (count, len(factor_sizes)), 0, sizes[None, :])
    values = jnp.where(jnp.arange(len(factor_sizes))[None, :] == factor, values[:1], values)
    # Row-major, the last factor fastest.
    strides = jnp.asarray([math.prod(factor_sizes[place + 1 :]) for place in range(len(factor_sizes))])
    return values @ strides


def varying_factors(factor_sizes: Sequence[int]) -> jax.Array:
    """Indices of the factors that have more than one value.

    Raises:
      ValueError: if there is none.
    """
    places = [place for place, size in enumerate(factor_sizes) if size > 1]
    if not places:
        sizes = ", ".join(map(str, factor_sizes))
        raise ValueError(f"factor_sizes must have a factor with more than one value, got the sizes {sizes}")
    return jnp.asarray(places)
