"""Means of IWAE bounds (MIWAE, PIWAE) and combinations with the ELBO (CIWAE), all from Rainforth et al. 2018."""

from __future__ import annotations

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_counts, check_number
from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._gradients import only_gradient, stop_generation, stop_inference
from vae_jax.objectives._iwae import (
    bound_with_beta,
    importance_terms,
    log_mean_exp,
    mean_elbo_metrics,
    negative_bound,
)
from vae_jax.params import Params


def miwae_from_log_weights(log_weights: ArrayLike, num_bounds: int) -> jax.Array:
    """Mean 1/M sum_m log 1/K sum_k w_mk of M IWAE bounds, from `[M K]` log-weights; M = 1 gives the IWAE bound.

    Raises:
      ValueError: if num_bounds, M, is below 1, or does not divide the number of log-weights.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_count("num_bounds", num_bounds)
    log_weights = jnp.asarray(log_weights)
    chex.assert_rank(log_weights, 1)
    if log_weights.shape[0] % num_bounds:
        raise ValueError(f"num_bounds must divide the number of log_weights, {log_weights.shape[0]}, got {num_bounds}")
    return jnp.mean(jax.vmap(log_mean_exp)(log_weights.reshape(num_bounds, -1)))


def negative_miwae(num_bounds: int, num_samples: int, *, beta: ArrayLike = 1.0) -> Objective:
    """Minus the mean of M IWAE bounds of K samples each, as an objective: a mean over the batch in nats per example.

    The bound, `miwae_from_log_weights`, is the metric `miwae`.

    Args:
      num_bounds: M, at least 1; M = 1 is the IWAE.
      num_samples: K, at least 1; K = 1 is the ELBO of M samples.
      beta: weight of the rate in each log-weight, as in `negative_bound`; 1 gives the bound.

    Raises:
      ValueError: if num_bounds or num_samples is below 1, or beta is a number below 0.
      UndefinedError: by the objective, if the posterior has no density.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_counts(num_bounds=num_bounds, num_samples=num_samples)
    bound = partial(miwae_from_log_weights, num_bounds=num_bounds)
    return negative_bound("miwae", bound, num_bounds * num_samples, beta=beta)


def negative_piwae(num_bounds: int, num_samples: int, *, beta: ArrayLike = 1.0) -> Objective:
    """The objective -`iwae` of M K samples, with the encoder's gradient of `negative_miwae` on these samples.

    It is a mean over the batch in nats per example. The generative model is trained on the tightest bound, `iwae`, and
    the encoder on `miwae`, whose gradient has less noise. The loss is -`iwae`; both bounds are metrics. A beta other
    than 1 weighs the rate in both bounds. Arguments and errors as for `negative_miwae`.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_counts(num_bounds=num_bounds, num_samples=num_samples)
    check_number("beta", beta, 0)
    miwae = partial(miwae_from_log_weights, num_bounds=num_bounds)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        # The same draws twice, for two gradients.
        generation, inference = (
            importance_terms(part, params, key, x, num_bounds * num_samples)
            for part in (stop_inference(model), stop_generation(model))
        )
        iwae_value, tight = bound_with_beta(log_mean_exp, generation, beta)
        # The derivative with respect to beta is that of the loss, the tight bound.
        miwae_value, loose = bound_with_beta(miwae, inference, stop_gradient(beta))
        metrics = {**mean_elbo_metrics(generation), "iwae": iwae_value, "miwae": miwae_value}
        return -(tight + only_gradient(loose)), metrics

    return mean_over_batch(example_objective)


def ciwae_from_log_weights(log_weights: ArrayLike, beta: ArrayLike) -> jax.Array:
    """Combined bound beta ELBO + (1 - beta) IWAE = beta 1/K sum_k log w_k + (1 - beta) log 1/K sum_k w_k.

    Args:
      log_weights: `[K]` log w_k.
      beta: from 0 to 1.

    Raises:
      ValueError: if beta is a number outside [0, 1].

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_number("beta", beta, 0, 1)
    log_weights, beta = jnp.asarray(log_weights), jnp.asarray(beta)
    return _product(beta, jnp.mean(log_weights)) + _product(1 - beta, log_mean_exp(log_weights))


def _product(share: jax.Array, bound: jax.Array) -> jax.Array:
    """Product share * bound; 0 for a share of 0, even if the bound is -inf (an importance weight of zero)."""
    return share * jnp.where((share == 0) & jnp.isneginf(bound), 0.0, bound)


def negative_ciwae(num_samples: int, beta: ArrayLike, *, kl_weight: ArrayLike = 1.0) -> Objective:
    """Minus (beta ELBO + (1 - beta) IWAE) on K samples, as an objective: a mean over the batch in nats per example.

    The bound, `ciwae_from_log_weights`, is the metric `ciwae`.

    Args:
      num_samples: K, at least 1.
      beta: from 0 (IWAE) to 1 (ELBO); a number, or an array if it is traced. Not the beta of a beta-VAE.
      kl_weight: weight of the rate in each log-weight of both bounds, called beta in the other objectives; 1 gives the
        bound. A KL warm-up is `scheduled(lambda w: negative_ciwae(5, 0.5, kl_weight=w), linear(10_000))`.

    Raises:
      ValueError, UndefinedError: as `negative_iwae`; ValueError also if beta is a number outside [0, 1] or kl_weight is
        a number below 0.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_number("beta", beta, 0, 1)
    check_number("kl_weight", kl_weight, 0)
    return negative_bound("ciwae", partial(ciwae_from_log_weights, beta=beta), num_samples, beta=kl_weight)
