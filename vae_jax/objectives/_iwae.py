"""Importance weights and the bound they give: the importance-weighted autoencoder's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_number
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_from_terms, elbo_metrics, sampled_elbo_terms
from vae_jax.params import Params


def log_weight(model: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    """log p(x, z) - log q(z | x) at one z ~ q(z | x): a scalar in nats; its mean over z is the ELBO.

    This is `sampled_elbo`, by the name under which its exponential is an importance weight.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 5.
    """
    return elbo_from_terms(*sampled_elbo_terms(model, params, key, x))


def log_mean_exp(values: ArrayLike) -> jax.Array:
    """log(1/K sum exp(v_k)) of `[K]` values, without overflow."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 1)
    return jax.nn.logsumexp(values) - jnp.log(values.shape[0])


def iwae(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> jax.Array:
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
      ValueError: if num_samples is below 1.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 8.
    """
    return log_mean_exp(log_weights(model, params, key, x, num_samples))


def negative_iwae(num_samples: int, *, beta: ArrayLike = 1.0) -> Objective:
    """The objective -`iwae`, a mean over the batch in nats per example.

    The metrics have the bound as `iwae`, and the ELBO's two sides averaged over the same K samples. Its KL warm-up is
    `scheduled(lambda beta: negative_iwae(50, beta=beta), linear(10_000))`.

    Args:
      num_samples: K, at least 1; K = 1 is the ELBO.
      beta: weight of the rate in each log-weight, as in `negative_bound`; 1 is the bound.

    Raises:
      ValueError: if num_samples is below 1, or beta a number below 0.
      UndefinedError: by the objective, if the posterior has no density.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 8.
    """
    return negative_bound("iwae", log_mean_exp, num_samples, beta=beta)


def negative_bound(
    name: str, bound: Callable[[jax.Array], jax.Array], num_samples: int, *, beta: ArrayLike = 1.0
) -> Objective:
    """The objective -bound(log-weights), for any bound that is a function of the log-weights of K samples.

    It is a mean over the batch in nats per example. With beta the loss is minus the bound of the log-weights

      log p(x | z_k) + beta (log p(z_k) - log q(z_k | x)),

    and a warm-up of beta from 0 to 1 (Bowman et al. 2016, arXiv:1511.06349; Sonderby et al. 2016, arXiv:1602.02282)
    leads from the likelihood alone to the bound. The metrics report the true bound, whatever beta is.

    Args:
      name: of the bound among the metrics, beside elbo, rate and distortion, which are means over the same samples.
      bound: `[K]` log-weights -> a scalar in nats.
      num_samples: K, at least 1.
      beta: at least 0; a number, or an array if it is traced.

    Raises:
      ValueError: if num_samples is below 1, or beta a number below 0.
    """
    check_count("num_samples", num_samples)
    check_number("beta", beta, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        terms = importance_terms(model, params, key, x, num_samples)
        value, weighted = bound_with_beta(bound, terms, beta)
        return -weighted, {**mean_elbo_metrics(terms), name: value}

    return mean_over_batch(example_objective)


def log_weights(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> jax.Array:
    """`log_weight` of K independent z ~ q(z | x): `[K]`.

    Raises:
      ValueError: if num_samples is below 1.
    """
    check_count("num_samples", num_samples)
    return elbo_from_terms(*importance_terms(model, params, key, x, num_samples))


def importance_terms(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> ElboTerms:
    """`sampled_elbo_terms` of the same K samples as `log_weights`: arrays `[K]`, their difference the log-weights."""
    return jax.vmap(lambda k: sampled_elbo_terms(model, params, k, x))(jax.random.split(key, num_samples))


def bound_with_beta(
    bound: Callable[[jax.Array], jax.Array], terms: ElboTerms, beta: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """Two bounds: that of the log-weights, for the metrics, and that of `weighted_log_weights`, for the loss."""
    value = bound(elbo_from_terms(*terms))
    if isinstance(beta, (int, float)) and beta == 1:  # both are the same, which XLA does not find for every bound
        return value, value
    return value, bound(weighted_log_weights(terms, beta))


def weighted_log_weights(terms: ElboTerms, beta: ArrayLike) -> jax.Array:
    """log p(x | z) + beta (log p(z) - log q(z | x)) of each sample: at beta = 1 the log-weights."""
    return elbo_from_terms(terms.log_likelihood, jnp.asarray(beta) * terms.kl)


def mean_elbo_metrics(terms: ElboTerms) -> Metrics:
    """`elbo_metrics` of `[K]` terms, averaged over the samples."""
    return elbo_metrics(ElboTerms(*map(jnp.mean, terms)))
