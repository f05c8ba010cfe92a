"""How many codes are in use, from counts over an epoch or a test set: a batch alone cannot use more than it holds."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def code_counts(indices: jax.Array, num_codes: int) -> jax.Array:
    """`[num_codes]` int32: how often each code occurs in `indices`, of any shape; add them up over batches."""
    return jnp.zeros(num_codes, jnp.int32).at[jnp.ravel(indices)].add(1)


def code_entropy(counts: jax.Array) -> jax.Array:
    """-sum p log p for p = counts / sum(counts), in nats: what a code costs under the unigram; log K at most."""
    chex.assert_rank(counts, 1)
    p = counts / jnp.maximum(jnp.sum(counts), 1)
    return -jnp.sum(jax.scipy.special.xlogy(p, p))


def perplexity(counts: jax.Array) -> jax.Array:
    """exp(`code_entropy`): as many codes, equally used, would have this entropy."""
    return jnp.exp(code_entropy(counts))


def code_usage(counts: jax.Array) -> jax.Array:
    """The share of the codes that occur at all."""
    chex.assert_rank(counts, 1)
    return jnp.mean(counts > 0)
