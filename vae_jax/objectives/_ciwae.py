"""A combination of the ELBO and the IWAE bound."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives._batch import Objective
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._iwae import log_mean_exp, log_weights, negative_bound
from vae_jax.params import Params


def ciwae_from_log_weights(log_weights: ArrayLike, beta: ArrayLike) -> jax.Array:
    """beta 1/K sum_k log w_k + (1 - beta) log 1/K sum_k w_k of `[K]` log-weights.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    log_weights, beta = jnp.asarray(log_weights), jnp.asarray(beta)
    return _part(beta, jnp.mean(log_weights)) + _part(1 - beta, log_mean_exp(log_weights))


def _part(share: jax.Array, bound: jax.Array) -> jax.Array:
    """share * bound; 0 for a share of 0, of a bound of -inf too (a weight of zero)."""
    return share * jnp.where((share == 0) & jnp.isneginf(bound), 0.0, bound)


def ciwae(model: VAE, params: Params, key: jax.Array, x: ArrayLike, num_samples: int, beta: ArrayLike) -> jax.Array:
    """beta ELBO + (1 - beta) IWAE of one example, both on the same K samples: a scalar in nats.

    Args:
      model: the model.
      params: its parameters.
      key: PRNG key, consumed.
      x: one example.
      num_samples: K, at least 1.
      beta: from 0 (IWAE) to 1 (ELBO); a number, or an array where it is traced. Not the beta of a beta-VAE.

    Raises:
      ValueError: where num_samples is below 1, or beta is a number outside [0, 1].

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_between("beta", beta, 0, 1)
    return ciwae_from_log_weights(log_weights(model, params, key, x, num_samples), beta)


def negative_ciwae(num_samples: int, beta: ArrayLike) -> Objective:
    """The objective -`ciwae`, a mean over the batch in nats per example; the bound is the metric `ciwae`.

    Args:
      num_samples: K, at least 1.
      beta: from 0 (IWAE) to 1 (ELBO); a number, or an array where it is traced.

    Raises:
      ValueError: where num_samples is below 1, or beta is a number outside [0, 1].
      TypeError: by the objective, where the posterior has no density.

    Source: Rainforth et al. 2018 (arXiv:1802.04537).
    """
    check_between("beta", beta, 0, 1)
    return negative_bound("ciwae", partial(ciwae_from_log_weights, beta=beta), num_samples)
