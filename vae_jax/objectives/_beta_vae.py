"""Objectives with a weight on the rate: the beta-VAE and its controlled capacity; the metrics report the true ELBO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, elbo_terms, sampled_elbo_terms
from vae_jax.objectives._gradients import path_derivative
from vae_jax.params import Params


def beta_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, beta: ArrayLike) -> jax.Array:
    """Loss of the beta-VAE: -log_likelihood + beta * kl.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return -jnp.asarray(log_likelihood) + jnp.asarray(beta) * jnp.asarray(kl)


def capacity_loss_from_terms(log_likelihood: ArrayLike, kl: ArrayLike, gamma: ArrayLike, nats: ArrayLike) -> jax.Array:
    """Loss with controlled capacity: -log_likelihood + gamma |kl - nats|.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    return -jnp.asarray(log_likelihood) + jnp.asarray(gamma) * jnp.abs(jnp.asarray(kl) - jnp.asarray(nats))


def beta_vae_loss(beta: ArrayLike) -> Objective:
    """The objective -E_q log p(x | z) + beta KL(q(z | x) || p(z)), a mean over the batch in nats per example.

    Log-likelihood and KL divergence are summed over pixels and dimensions: beta is the paper's beta, not its
    beta_norm = beta * latent_dim / num_pixels, and beta = 1 is the VAE. A KL warm-up, without which some dimensions
    are never used, is `scheduled(beta_vae_loss, linear(10_000))`.

    Args:
      beta: at least 0; a number, or an array if it is traced.

    Raises:
      ValueError: if beta is a number below 0.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return _weighted(elbo_terms, beta_loss_from_terms, beta=beta)


def sampled_beta_vae_loss(beta: ArrayLike) -> Objective:
    """`beta_vae_loss` with the KL divergence estimated at the same z as the likelihood, as in `sampled_elbo_terms`.

    It is a mean over the batch in nats per example. It needs no closed form, and therefore suits flows, mixtures and
    chains. Argument and errors as for `beta_vae_loss`.

    Source: Higgins et al. 2017 [higgins2017beta], eq. 4.
    """
    return _weighted(sampled_elbo_terms, beta_loss_from_terms, beta=beta)


def stl_beta_vae_loss(beta: ArrayLike) -> Objective:
    """`sampled_beta_vae_loss`, with the path derivative as the encoder's gradient: sticking the landing.

    It is a mean over the batch in nats per example, and at beta = 1 equals `negative_stl`. The omitted score has
    expectation 0: the gradient's expectation is that of `beta_vae_loss` for every beta. Argument and errors as for
    `beta_vae_loss`.

    Raises:
      UndefinedError: by the objective, if the posterior has no density.

    Source: Roeder et al. 2017 (arXiv:1703.09194): the path derivative.
    """

    def terms_of(model: VAE, params: Params, key: jax.Array, x: Any) -> ElboTerms:
        return sampled_elbo_terms(path_derivative(model), params, key, x)

    return _weighted(terms_of, beta_loss_from_terms, beta=beta)


def capacity_loss(gamma: ArrayLike, nats: ArrayLike) -> Objective:
    """The objective -E_q log p(x | z) + gamma |KL(q(z | x) || p(z)) - C|, a mean over the batch in nats per example.

    The distance |KL - C| is taken of each example, as in the paper; disentanglement_lib takes it of the batch's mean
    rate, which lets examples share the capacity among them. The paper raises C linearly from 0 to 25:
    `scheduled(lambda nats: capacity_loss(1000.0, nats), linear(100_000, 0.0, 25.0))`.

    Args:
      gamma: weight of the distance, at least 0; a number, or an array if it is traced. Burgess et al. use 1000.
      nats: capacity C, at least 0; a number, or an array if it is traced.

    Raises:
      ValueError: if gamma or nats is a number below 0.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    return _weighted(elbo_terms, capacity_loss_from_terms, gamma=gamma, nats=nats)


def _weighted(
    terms_of: Callable[..., ElboTerms], loss_from_terms: Callable[..., jax.Array], **weights: ArrayLike
) -> Objective:
    for name, weight in weights.items():
        check_number(name, weight, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        terms = terms_of(model, params, key, x)
        return loss_from_terms(*terms, *weights.values()), elbo_metrics(terms)

    return mean_over_batch(example_objective)
