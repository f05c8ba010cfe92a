"""Hiding of observed entries at random, so that a model learns to infer them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def hide_entries(key: jax.Array, observed: Any, most: ArrayLike) -> Any:
    """Hides entries of one example: each with a probability that is drawn uniformly from [0, most] for the example.

    Args:
      key: PRNG key, consumed.
      observed: a tree of booleans, True for entries that are observed.
      most: largest probability, from 0 to 1.

    Returns:
      Booleans of the same structure and shapes, True for entries that are observed and not hidden.
    """
    rate_key, *keys = jax.random.split(key, 1 + len(jax.tree.leaves(observed)))
    rate = most * jax.random.uniform(rate_key)
    leaves, structure = jax.tree.flatten(observed)
    kept = [seen & (jax.random.uniform(own, jnp.shape(seen)) >= rate) for own, seen in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, kept)
