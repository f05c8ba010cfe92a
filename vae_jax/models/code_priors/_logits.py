"""Transformations of the logits `[K]` of one code before it is drawn; excluded codes get -inf."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_COUNT, check_count, check_number


def guided(conditional: jax.Array, unconditional: jax.Array, guidance: float) -> jax.Array:
    """Classifier-free guidance: unconditional + (1 + w) (conditional - unconditional), w = guidance.

    The paper writes (1 + w) conditional - w unconditional. w = 0 gives the conditional logits.

    Args:
      conditional: logits of any shape.
      unconditional: logits of the same shape.
      guidance: w.

    Source: Ho & Salimans 2022 (arXiv:2207.12598), eq. 6, with logits for scores.
    """
    chex.assert_equal_shape([conditional, unconditional])
    return unconditional + (1.0 + guidance) * (conditional - unconditional)


def with_temperature(logits: jax.Array, temperature: float) -> jax.Array:
    """logits / temperature; at temperature 0 the limit, which is only the most probable code (the first in a tie).

    Args:
      logits: `[K]`.
      temperature: at least 0.

    Raises:
      ValueError: if temperature is below 0.
    """
    chex.assert_rank(logits, 1)
    check_number("temperature", temperature, 0.0)
    if temperature == 0:
        return jnp.where(jnp.arange(logits.shape[0]) == jnp.argmax(logits), 0.0, -jnp.inf).astype(logits.dtype)
    return logits / temperature


def keep_top_k(logits: jax.Array, top_k: int) -> jax.Array:
    """Keeps the top_k largest logits (the first in a tie), and sets the others to -inf.

    Args:
      logits: `[K]`.
      top_k: in [1, K].

    Raises:
      ValueError: if top_k is outside [1, K].
    """
    chex.assert_rank(logits, 1)
    check_count("top_k", top_k, -LARGEST_COUNT)
    if not 1 <= top_k <= logits.shape[0]:
        raise ValueError(f"top_k must be in [1, K] = [1, {logits.shape[0]}], got {top_k}")
    return _keep(logits, _descending(logits), jnp.arange(logits.shape[0]) < top_k)


def keep_nucleus(logits: jax.Array, top_p: float) -> jax.Array:
    """Keeps the smallest set of most probable codes with a total probability of at least top_p; -inf for the others.

    The most probable code is always kept. At top_p = 1 all codes are kept.

    Args:
      logits: `[K]`.
      top_p: in (0, 1].

    Raises:
      ValueError: if top_p is outside (0, 1].

    Source: Holtzman et al. 2020 (arXiv:1904.09751), eq. 2.
    """
    chex.assert_rank(logits, 1)
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}")
    if top_p == 1:  # by rounding, the sum may reach 1 before the last code
        return logits
    order = _descending(logits)
    probabilities = jax.nn.softmax(logits)[order]
    before = jnp.concatenate([jnp.zeros(1, logits.dtype), jnp.cumsum(probabilities)[:-1]])
    return _keep(logits, order, before < top_p)


def _descending(logits: jax.Array) -> jax.Array:
    """Indices in descending order of the logits; ties keep their order."""
    return jnp.argsort(-logits, stable=True)


def _keep(logits: jax.Array, order: jax.Array, kept: jax.Array) -> jax.Array:
    """Sets logits to -inf except those at the indices order[kept]."""
    return jnp.where(jnp.zeros_like(kept).at[order].set(kept), logits, -jnp.inf)
