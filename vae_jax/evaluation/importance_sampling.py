"""log p(x) by importance sampling from the posterior."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.evaluation.examples import over_examples
from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import log_weight


@partial(jax.jit, static_argnames=("model", "num_samples", "chunk_size"))
def importance_sampled_log_likelihood(
    model: VAE, params: Params, key: jax.Array, xs: ArrayLike, num_samples: int, chunk_size: int = 500
) -> jax.Array:
    """log 1/K sum_k p(x, z_k) / q(z_k | x) of every example: in expectation a lower bound of log p(x).

    One jitted program that holds at most chunk_size samples at once, so that memory does not grow with K or N. The
    encoder runs once an example.

    Args:
      model: the model; its posterior must have a density.
      params: its parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples as the model sees them.
      num_samples: K, at least 1.
      chunk_size: samples held at once, at least 1.

    Returns:
      `[N]` log-likelihoods in nats.

    Raises:
      ValueError: where num_samples or chunk_size is below 1.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5, with K = 5000.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    num_full, remainder = divmod(num_samples, chunk_size)

    def example(params: Params, key: jax.Array, x: jax.Array) -> jax.Array:
        def log_sum(key: jax.Array, count: int) -> jax.Array:
            keys = jax.random.split(key, count)
            return jax.nn.logsumexp(jax.vmap(lambda k: log_weight(model, params, k, x))(keys))

        full_key, rest_key = jax.random.split(key)
        # -inf is the logarithm of an empty sum.
        total = jnp.array(-jnp.inf)
        if num_full:
            sums = jax.lax.map(lambda k: log_sum(k, chunk_size), jax.random.split(full_key, num_full))
            total = jax.nn.logsumexp(sums)
        if remainder:
            total = jnp.logaddexp(total, log_sum(rest_key, remainder))
        return total - jnp.log(num_samples)

    # Few samples an example: several examples at once, so that a chunk is always full.
    return over_examples(example, params, key, xs, max(1, chunk_size // num_samples))
