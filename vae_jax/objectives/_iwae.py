"""Importance weights, and the bound of the importance-weighted autoencoder."""

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
    """Log-weight log p(x, z) - log q(z | x) at one z ~ q(z | x): a scalar in nats; its mean over z is the ELBO.

    The value equals `sampled_elbo`; the name is for estimators that use its exponential, an importance weight.

    Source: Burda et al. 2016 (arXiv:1509.00519), eq. 5.
    """
    return elbo_from_terms(*sampled_elbo_terms(model, params, key, x))


def log_mean_exp(values: ArrayLike) -> jax.Array:
    """Log-mean-exp log(1/K sum exp(v_k)) of `[K]` values, without overflow."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 1)
    return jax.nn.logsumexp(values) - jnp.log(values.shape[0])


def iwae(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> jax.Array:
    """Importance-weighted bound log 1/K sum_k p(x, z_k) / q(z_k | x), one estimate; its expectation rises with K.

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

    Metrics: the bound, `iwae`, and `elbo`, `rate` and `distortion`, averaged over the same K samples. The KL warm-up
    is `scheduled(lambda beta: negative_iwae(50, beta=beta), linear(10_000))`.

    Args:
      num_samples: K, at least 1; K = 1 is the ELBO.
      beta: weight of the rate in each log-weight, as in `negative_bound`; 1 gives the bound.

    Raises:
      ValueError: if num_samples is below 1, or beta is a number below 0.
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
      name: the bound's name among the metrics, beside elbo, rate and distortion, which are means over the same samples.
      bound: `[K]` log-weights -> a scalar in nats.
      num_samples: K, at least 1.
      beta: at least 0; a number, or an array if it is traced.

    Raises:
      ValueError: if num_samples is below 1, or beta is a number below 0.
    """
    check_count("num_samples", num_samples)
    check_number("beta", beta, 0)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        terms = importance_terms(model, params, key, x, num_samples)
        value, weighted = bound_with_beta(bound, terms, beta)
        return -weighted, {**mean_elbo_metrics(terms), name: value}

    return mean_over_batch(example_objective)


def log_weights(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> jax.Array:
    """Log-weights `[K]` of K independent z ~ q(z | x).

    Raises:
      ValueError: if num_samples is below 1.
    """
    check_count("num_samples", num_samples)
    return elbo_from_terms(*importance_terms(model, params, key, x, num_samples))


def importance_terms(model: VAE, params: Params, key: jax.Array, x: Any, num_samples: int) -> ElboTerms:
    """ELBO terms `[K]` of the K samples that `log_weights` draws with this key; their difference is the log-weights."""
    return jax.vmap(lambda k: sampled_elbo_terms(model, params, k, x))(jax.random.split(key, num_samples))


def bound_with_beta(
    bound: Callable[[jax.Array], jax.Array], terms: ElboTerms, beta: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """Two values of the bound: of the log-weights, for the metrics, and of `weighted_log_weights`, for the loss."""
    value = bound(elbo_from_terms(*terms))
    if isinstance(beta, (int, float)) and beta == 1:  # XLA does not merge the two equal values for every bound
        return value, value
    return value, bound(weighted_log_weights(terms, beta))


def weighted_log_weights(terms: ElboTerms, beta: ArrayLike) -> jax.Array:
    """Log-weights with a weighted rate, log p(x | z) + beta (log p(z) - log q(z | x)), of each sample."""
    return elbo_from_terms(terms.log_likelihood, jnp.asarray(beta) * terms.kl)


def mean_elbo_metrics(terms: ElboTerms) -> Metrics:
    """`elbo_metrics` of `[K]` terms, averaged over the samples."""
    return elbo_metrics(ElboTerms(*map(jnp.mean, terms)))
