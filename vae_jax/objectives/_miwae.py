"""Means of IWAE bounds, and the autoencoders that train each half of the model on the bound that suits it."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._checks import check_at_least_1
from vae_jax.objectives._elbo import elbo_from_terms
from vae_jax.objectives._gradients import only_gradient, stop_generation, stop_inference
from vae_jax.objectives._iwae import (
    importance_terms,
    log_mean_exp,
    log_weights,
    mean_elbo_metrics,
    negative_bound,
)
from vae_jax.params import Params


def miwae_from_log_weights(log_weights: ArrayLike, num_bounds: int) -> jax.Array:
    """1/M sum_m log 1/K sum_k w_mk of `[M K]` log-weights.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    log_weights = jnp.asarray(log_weights)
    chex.assert_rank(log_weights, 1)
    if log_weights.shape[0] % num_bounds:
        raise ValueError(f"num_bounds must divide the number of log_weights, {log_weights.shape[0]}, got {num_bounds}")
    return jnp.mean(jax.vmap(log_mean_exp)(log_weights.reshape(num_bounds, -1)))


def miwae(model: VAE, params: Params, key: jax.Array, x: ArrayLike, num_bounds: int, num_samples: int) -> jax.Array:
    """The mean of M independent IWAE bounds of K samples each, for one example: a scalar in nats.

    Args:
      model: the model.
      params: its parameters.
      key: PRNG key, consumed.
      x: one example.
      num_bounds: M, at least 1; M = 1 is the IWAE.
      num_samples: K, at least 1; K = 1 is the ELBO of M samples.

    Raises:
      ValueError: where a number is below 1.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    _check(num_bounds, num_samples)
    return miwae_from_log_weights(log_weights(model, params, key, x, num_bounds * num_samples), num_bounds)


def negative_miwae(num_bounds: int, num_samples: int) -> Objective:
    """The objective -`miwae`, a mean over the batch in nats per example; the bound is the metric `miwae`.

    Args:
      num_bounds: M, at least 1; M = 1 is `negative_iwae`.
      num_samples: K, at least 1.

    Raises:
      ValueError: where a number is below 1.
      TypeError: by the objective, where the posterior has no density.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    _check(num_bounds, num_samples)
    bound = partial(miwae_from_log_weights, num_bounds=num_bounds)
    return negative_bound("miwae", bound, num_bounds * num_samples)


def negative_piwae(num_bounds: int, num_samples: int) -> Objective:
    """The objective -`iwae` of M K samples, but for the encoder's gradient, which is that of -`miwae` on them.

    The generative model takes the tightest bound there is; the encoder one whose gradient has less noise. The loss is
    the first; both bounds are metrics, `iwae` and `miwae`.

    Args:
      num_bounds: M, at least 1; M = 1 is `negative_iwae`.
      num_samples: K, at least 1.

    Raises:
      ValueError: where a number is below 1.
      TypeError: by the objective, where the posterior has no density.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    _check(num_bounds, num_samples)

    def example_objective(model: VAE, params: Params, key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
        # The same draws twice, for two gradients.
        generation, inference = (
            importance_terms(part, params, key, x, num_bounds * num_samples)
            for part in (stop_inference(model), stop_generation(model))
        )
        tight = log_mean_exp(elbo_from_terms(*generation))
        loose = miwae_from_log_weights(elbo_from_terms(*inference), num_bounds)
        return -(tight + only_gradient(loose)), {**mean_elbo_metrics(generation), "iwae": tight, "miwae": loose}

    return mean_over_batch(example_objective)


def _check(num_bounds: int, num_samples: int) -> None:
    check_at_least_1("num_bounds", num_bounds)
    check_at_least_1("num_samples", num_samples)
