"""Variational Renyi bound, a family in alpha: the ELBO at alpha = 1 and the IWAE bound at alpha = 0."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.objectives._batch import Objective
from vae_jax.objectives._iwae import negative_bound


def renyi_from_log_weights(log_weights: ArrayLike, alpha: float) -> jax.Array:
    """Renyi bound 1 / (1 - alpha) log 1/K sum_k w_k^(1 - alpha); at alpha = 1 its limit, the mean log-weight.

    The bound falls as alpha rises. Its expectation is a lower bound of log p(x) if alpha >= 0, and may exceed log p(x)
    if alpha < 0.

    Args:
      log_weights: `[K]` log p(x, z_k) - log q(z_k | x), as `objectives.log_weights` returns them.
      alpha: any finite number; 0 is the IWAE bound, 1 the ELBO.

    Raises:
      ValueError: if alpha is not finite.

    Source: Li & Turner 2016 (arXiv:1602.02311).
    """
    check_number("alpha", alpha)
    log_weights = jnp.asarray(log_weights)
    chex.assert_rank(log_weights, 1)
    if alpha == 1:
        return jnp.mean(log_weights)
    power = 1 - alpha
    # Relative to the value with the largest power, no power overflows. Near alpha = 1 all powers approach 1, and expm1
    # and log1p keep the digits that the division by 1 - alpha needs. If one weight dominates, the mean of expm1
    # approaches -1, and the logarithm of the mean power keeps the digits.
    origin = jax.lax.stop_gradient(jnp.max(log_weights) if power > 0 else jnp.min(log_weights))
    origin = jnp.where(jnp.isfinite(origin), origin, 0.0)  # a weight of zero: the bound is -inf, not NaN
    exponents = power * (log_weights - origin)
    excess = jnp.mean(jnp.expm1(exponents))
    is_near_1 = excess > -0.5
    near_1, far = jnp.log1p(jnp.where(is_near_1, excess, 0.0)), jnp.log(jnp.mean(jnp.exp(exponents)))
    return origin + jnp.where(is_near_1, near_1, far) / power


def negative_renyi(num_samples: int, alpha: float, *, beta: ArrayLike = 1.0) -> Objective:
    """Minus the Renyi bound (VR-alpha) of K samples, as an objective: a mean over the batch in nats per example.

    The bound, `renyi_from_log_weights`, is the metric `renyi`.

    Args:
      num_samples: K, at least 1.
      alpha: any finite number; 0 is the IWAE bound, 1 the ELBO.
      beta: weight of the rate in each log-weight, before its power, as in `negative_bound`; 1 gives the bound.

    Raises:
      ValueError, UndefinedError: as `negative_iwae`; ValueError also if alpha is not finite.

    Source: Li & Turner 2016 (arXiv:1602.02311).
    """
    check_number("alpha", alpha)
    return negative_bound("renyi", partial(renyi_from_log_weights, alpha=alpha), num_samples, beta=beta)
