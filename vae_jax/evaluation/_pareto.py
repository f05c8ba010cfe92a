"""How heavy the tail of importance weights is: the shape k of a generalized Pareto fitted to the largest of them.

With k < 1/2 the weights have a finite variance and the mean of K of them errs as 1 / sqrt(K); beyond, more and more of
them are needed, and above `pareto_k_limit` the largest, which decide the mean, have not been seen yet.
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

# Fewer exceedances than this say nothing about a tail (the rule of loo and ArviZ).
MIN_TAIL = 5
# Weights of a tail that are all within 1% of each other are equal for any use of their mean, whatever law they follow.
FLAT_TAIL_NATS = 0.01


def tail_length(num_samples: int) -> int:
    """M = ceil(min(K / 5, 3 sqrt(K))), the number of largest weights that make up the tail.

    Source: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_k_limit(num_samples: int) -> float:
    """min(1 - 1 / log10 K, 0.7), above which the mean of K weights is not to be trusted; 0 where K is 10 or less.

    Source: Vehtari et al. 2024 (arXiv:1507.02646), eq. 13.
    """
    return min(1.0 - 1.0 / math.log10(max(num_samples, 10)), 0.7)


def generalized_pareto_shape(exceedances: ArrayLike) -> jax.Array:
    """The shape k of a generalized Pareto, p(x) = (1 + k x / s)^(-1/k - 1) / s, by the empirical Bayes fit.

    The posterior mean of b = -k / s under a prior fitted to the data, on a grid of m points; then
    k = mean(log(1 - b x)), shrunk to 1/2 as if 10 more exceedances had said so: k <- (M k + 5) / (M + 10).

    Args:
      exceedances: `[M]` in ascending order, at least 0; their scale does not matter.

    Returns:
      A scalar; not finite where a quarter of the exceedances are 0.

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
    """The shape k of the tail of importance weights, from the largest of them.

    Args:
      largest_log_weights: `[M + 1]` in descending order, in nats, M = `tail_length(K)`; the last is the threshold.

    Returns:
      A scalar, never NaN. 0 where the whole tail is flat (all its weights within 1%: those of an exact posterior);
      infinity where no tail can be fitted: M < 5 (K below 21), a quarter of it equal to the threshold, or weights that
      are all zero or not finite.

    Source: Vehtari et al. 2024 (arXiv:1507.02646).
    """
    largest = jnp.asarray(largest_log_weights)
    chex.assert_rank(largest, 1)
    if largest.shape[0] <= MIN_TAIL:
        return jnp.full((), jnp.inf, largest.dtype)
    tail, threshold = largest[:-1][::-1], largest[-1]
    # w - u relative to the largest weight, as a product: no overflow, and no cancellation where w is close to u.
    exceedances = jnp.exp(tail - tail[-1]) * -jnp.expm1(threshold - tail)
    k = generalized_pareto_shape(exceedances)
    flat = tail[-1] - threshold < FLAT_TAIL_NATS
    return jnp.where(flat, 0.0, jnp.where(jnp.isfinite(k), k, jnp.inf))
