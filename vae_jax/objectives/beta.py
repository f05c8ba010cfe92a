"""beta-VAE: the rate weighed by beta in the loss; the metrics keep the true ELBO."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models.vae import VAE, Params
from vae_jax.objectives.batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives.elbo import elbo_metrics, elbo_terms


def beta_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, beta: ArrayLike) -> jax.Array:
    """-log_likelihood + beta * kl."""
    return -jnp.asarray(log_likelihood) + jnp.asarray(beta) * jnp.asarray(kl)


def beta(value: ArrayLike) -> Objective:
    """The objective -E_q log p(x | z) + beta KL(q(z | x) || p(z)), a mean over the batch in nats per example.

    Likelihoods and KL are summed over pixels and dimensions, so beta is the paper's beta, not its beta_norm =
    beta * latent_dim / num_pixels, and beta = 1 is the VAE.

    Args:
      value: beta, at least 0; a number, or an array where it is traced.

    Raises:
      ValueError: where a number below 0 is given.

    Source: Higgins et al. 2017 (beta-VAE, ICLR), eq. 4.
    """
    if not isinstance(value, jax.Array) and not float(jnp.asarray(value)) >= 0:
        raise ValueError(f"beta must be at least 0, got {value}")

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
        terms = elbo_terms(model, params, key, x)
        return beta_loss_from_terms(*terms, value), elbo_metrics(terms)

    return mean_over_batch(example_objective)
