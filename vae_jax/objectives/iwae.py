"""Importance weights and the bound they give: the importance-weighted autoencoder's."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models.vae import VAE, Params


def log_weight(model: VAE, params: Params, key: jax.Array, x: ArrayLike) -> jax.Array:
    """log p(x, z) - log q(z | x) at one z ~ q(z | x): a scalar in nats; its mean over z is the ELBO.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 5.
    """
    x = jnp.asarray(x)
    z, log_q = model.encode(params, x).sample_and_log_prob(key)
    weight = model.decode(params, z).log_prob(x) + model.prior(params).log_prob(z) - log_q
    chex.assert_rank(weight, 0)  # each density must be summed over its event
    return weight


def log_mean_exp(values: ArrayLike) -> jax.Array:
    """log(1/K sum exp(v_k)) of `[K]` values, without overflow."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 1)
    return jax.nn.logsumexp(values) - jnp.log(values.shape[0])


def iwae(model: VAE, params: Params, key: jax.Array, x: ArrayLike, num_samples: int) -> jax.Array:
    """log 1/K sum_k p(x, z_k) / q(z_k | x): a draw of a lower bound of log p(x) that rises with K.

    Args:
      model: the model.
      params: its parameters.
      key: PRNG key, consumed.
      x: one example.
      num_samples: K, at least 1; K = 1 is the ELBO.

    Returns:
      A scalar in nats.

    Raises:
      ValueError: where num_samples is below 1.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 8.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    keys = jax.random.split(key, num_samples)
    return log_mean_exp(jax.vmap(lambda k: log_weight(model, params, k, x))(keys))
