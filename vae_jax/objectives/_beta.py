"""beta-VAE: the rate weighed by beta in the loss; the metrics keep the true ELBO."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, elbo_terms, sampled_elbo_terms
from vae_jax.params import Params


def beta_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, beta: ArrayLike) -> jax.Array:
    """-log_likelihood + beta * kl.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return -jnp.asarray(log_likelihood) + jnp.asarray(beta) * jnp.asarray(kl)


def beta_vae_loss(value: ArrayLike) -> Objective:
    """The objective -E_q log p(x | z) + beta KL(q(z | x) || p(z)), a mean over the batch in nats per example.

    Likelihoods and KL are summed over pixels and dimensions, so beta is the paper's beta, not its beta_norm =
    beta * latent_dim / num_pixels, and beta = 1 is the VAE.

    Args:
      value: beta, at least 0; a number, or an array where it is traced.

    Raises:
      ValueError: where a number below 0 is given.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return _beta(value, elbo_terms)


def sampled_beta_vae_loss(value: ArrayLike) -> Objective:
    """`beta` with the KL divergence estimated by the same one z as the likelihood, as in `sampled_elbo_terms`.

    For a posterior or a prior without a closed form: a flow, a mixture, a chain of conditionals.

    Args:
      value: beta, at least 0; a number, or an array where it is traced.

    Raises:
      ValueError: where a number below 0 is given.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return _beta(value, sampled_elbo_terms)


def _beta(value: ArrayLike, terms_of: Callable[[VAE, Params, jax.Array, ArrayLike], ElboTerms]) -> Objective:
    check_between("beta", value, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
        terms = terms_of(model, params, key, x)
        return beta_loss_from_terms(*terms, value), elbo_metrics(terms)

    return mean_over_batch(example_objective)
