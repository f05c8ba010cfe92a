"""Codebook usage from counts over an epoch or a test set: one batch may hold fewer vectors than there are codes."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def code_counts(indices: jax.Array, num_codes: int) -> jax.Array:
    """Number of occurrences of each code in `indices` of any shape: int32 `[num_codes]`; sum them over batches."""
    return jnp.zeros(num_codes, jnp.int32).at[jnp.ravel(indices)].add(1)


def code_entropy(counts: jax.Array) -> jax.Array:
    """-sum p log p for p = counts / sum(counts), in nats: the cost of a code under the unigram model; at most log K."""
    chex.assert_rank(counts, 1)
    p = counts / jnp.maximum(jnp.sum(counts), 1)
    return -jnp.sum(jax.scipy.special.xlogy(p, p))


def perplexity(counts: jax.Array) -> jax.Array:
    """exp(`code_entropy`): the number of equally used codes with this entropy."""
    return jnp.exp(code_entropy(counts))


def code_usage(counts: jax.Array) -> jax.Array:
    """Fraction of the codes that occur at least once."""
    chex.assert_rank(counts, 1)
    return jnp.mean(counts > 0)
