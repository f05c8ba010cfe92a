"""Discretized logistic distribution: exact probabilities of 8-bit pixels, for bits per dimension."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays, in_unit_interval

LEVELS = 256


def discretized_logistic_log_prob(x: ArrayLike, mean: ArrayLike, log_scale: ArrayLike) -> jax.Array:
    """log P(x) = sum log P(k) of pixels x = k / 255 under a logistic distribution cut into 256 bins, in nats.

    P(k) = sigmoid((x + h - mean) / s) - sigmoid((x - h - mean) / s) with s = exp(log_scale) and h = 1 / 510, half a
    level. The bins of 0 and 255 extend to -inf and +inf, so that the 256 probabilities sum to 1.

    Args:
      x: pixels k / 255 with k = 0 .. 255, one event of any shape.
      mean: the same shape, in units of x.
      log_scale: the same shape.

    Returns:
      A scalar, summed over the event, at most 0.

    Source: Kingma et al. 2016 (arXiv:1606.04934), appendix A.3; the edges as in Salimans et al. 2017
    (arXiv:1701.05517), section 2.1.
    """
    return jnp.sum(_log_prob_terms(x, mean, log_scale))


def _log_prob_terms(x: ArrayLike, mean: ArrayLike, log_scale: ArrayLike) -> jax.Array:
    x, mean, log_scale = event_arrays(x, mean, log_scale)
    half = 0.5 / (LEVELS - 1)
    inverse_scale = jnp.exp(-log_scale)
    upper = (x - mean + half) * inverse_scale
    lower = (x - mean - half) * inverse_scale
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): no difference of two numbers near 0 or 1.
    log_width = jnp.log(-jnp.expm1(-2.0 * half * inverse_scale))
    inside = log_width - jax.nn.softplus(-upper) - jax.nn.softplus(lower)
    first, last = -jax.nn.softplus(-upper), -jax.nn.softplus(lower)
    # The comparison allows half a level, since k / 255 is rounded to float32.
    return jnp.where(x < half, first, jnp.where(x > 1.0 - half, last, inside))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiscretizedLogistic(Distribution):
    """Logistic(location, exp(log_scale)) rounded to the nearest k / 255, at each place of one event."""

    location: jax.Array
    log_scale: jax.Array

    support: ClassVar[str] = "[0, 1]"

    @property
    def mean(self) -> jax.Array:
        """E[x] = sum over k = 1 .. 255 of P(x >= k / 255) / 255, exactly (not the mean of the logistic)."""
        location, log_scale = event_arrays(self.location, self.log_scale)
        thresholds = (jnp.arange(1, LEVELS) - 0.5) / (LEVELS - 1)

        def add_tail(total: jax.Array, threshold: jax.Array) -> tuple[jax.Array, None]:
            return total + jax.nn.sigmoid((location - threshold) * jnp.exp(-log_scale)), None

        total, _ = jax.lax.scan(add_tail, jnp.zeros_like(location), thresholds)
        return total / (LEVELS - 1)

    def sample(self, key: jax.Array) -> jax.Array:
        location, log_scale = event_arrays(self.location, self.log_scale)
        continuous = location + jnp.exp(log_scale) * jax.random.logistic(key, location.shape, location.dtype)
        return jnp.round(jnp.clip(continuous, 0.0, 1.0) * (LEVELS - 1)) / (LEVELS - 1)

    def supports(self, value: ArrayLike) -> jax.Array:
        return in_unit_interval(value)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return discretized_logistic_log_prob(value, self.location, self.log_scale)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.location, self.log_scale)
