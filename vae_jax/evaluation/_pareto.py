"""Heaviness of the tail of importance weights: the shape k of a generalized Pareto fitted to the largest weights.

With k < 1/2 the weights have a finite variance, and the error of the mean of K weights falls as 1 / sqrt(K). For larger
k more and more weights are needed, and above `pareto_k_limit` the sample lacks the largest weights, which dominate the
mean.
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

# Smallest number of exceedances to which a tail is fitted (the rule of loo and ArviZ).
MIN_TAIL = 5
# Weights that are all within 1% of each other count as equal, because their mean has a negligible error.
FLAT_TAIL_NATS = 0.01


def tail_length(num_samples: int) -> int:
    """Number of largest weights that form the tail, M = ceil(min(K / 5, 3 sqrt(K))).

    Source: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_k_limit(num_samples: int) -> float:
    """Largest k with a reliable mean of K weights, min(1 - 1 / log10 K, 0.7); 0 if K is 10 or less.

    Source: Vehtari et al. 2024 (arXiv:1507.02646), eq. 13.
    """
    return min(1.0 - 1.0 / math.log10(max(num_samples, 10)), 0.7)


def generalized_pareto_shape(exceedances: ArrayLike) -> jax.Array:
    """Empirical Bayes estimate of the shape k of a generalized Pareto, p(x) = (1 + k x / s)^(-1/k - 1) / s.

    First the posterior mean of b = -k / s is computed on a grid of m points, under a prior fitted to the data. Then
    k = mean(log(1 - b x)), shrunk toward 1/2 with the weight of 10 exceedances: k <- (M k + 5) / (M + 10).

    Args:
      exceedances: `[M]` in ascending order, at least 0; their scale has no effect.

    Returns:
      A scalar; not finite if a quarter of the exceedances are 0.

    Source: Zhang & Stephens 2009 [zhang2009new]; shrinkage: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    x = jnp.asarray(exceedances)
    chex.assert_rank(x, 1)
    count = x.shape[0]
    num_points = 30 + math.isqrt(count)
    points = jnp.arange(1, num_points + 1) - 0.5
    quartile = x[int(count / 4 + 0.5) - 1]
    b = 1.0 / x[-1] + (1.0 - jnp.sqrt(num_points / points)) / (3.0 * quartile)
    k = jnp.mean(jnp.log1p(-b[:, None] * x[None, :]), axis=1)
    log_likelihood = count * (jnp.log(-b / k) - k - 1.0)
    best = jnp.sum(jax.nn.softmax(log_likelihood) * b)
    return (count * jnp.mean(jnp.log1p(-best * x)) + 5.0) / (count + 10.0)


def pareto_k(largest_log_weights: ArrayLike) -> jax.Array:
    """Shape k of the tail of importance weights.

    Args:
      largest_log_weights: `[M + 1]` in descending order, in nats, M = `tail_length(K)`; the last is the threshold.

    Returns:
      A scalar, never NaN. It is 0 if the tail is flat (all its weights within 1%, as for an exact posterior), and
      infinity if no tail can be fitted: M < 5 (K below 21), a quarter of the tail equals the threshold, or the weights
      are all zero or not finite.

    Source: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    largest = jnp.asarray(largest_log_weights)
    chex.assert_rank(largest, 1)
    if largest.shape[0] <= MIN_TAIL:
        return jnp.full((), jnp.inf, largest.dtype)
    tail, threshold = largest[:-1][::-1], largest[-1]
    # w - u relative to the largest weight, as a product: no overflow, and no cancellation if w is close to u.
    exceedances = jnp.exp(tail - tail[-1]) * -jnp.expm1(threshold - tail)
    k = generalized_pareto_shape(exceedances)
    flat = tail[-1] - threshold < FLAT_TAIL_NATS
    return jnp.where(flat, 0.0, jnp.where(jnp.isfinite(k), k, jnp.inf))
