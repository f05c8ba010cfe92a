"""Independent Student-t distributions: a decoder that outliers disturb less than a Normal one."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._saddle_point import LOG_2PI, stirling_error

LOG_2 = 0.6931471805599453


def student_t_log_prob(x: ArrayLike, location: ArrayLike, log_scale: ArrayLike, log_degrees: ArrayLike) -> jax.Array:
    """log density of x = location + exp(log_scale) t with t ~ Student-t(v), v = exp(log_degrees), in nats.

      log p(t) = log [Gamma((v + 1) / 2) / Gamma(v / 2)] - 1/2 log(v pi) - (v + 1) / 2 log(1 + t^2 / v)

    The Gamma functions are differences of Stirling errors, which keeps the digits at many degrees of freedom.

    Args:
      x: one event of any shape.
      location: the same shape.
      log_scale: the same shape; the variance is exp(2 log_scale) v / (v - 2) for v > 2.
      log_degrees: logarithm of the degrees of freedom, the same shape.

    Returns:
      A scalar, summed over the event.
    """
    return jnp.sum(_log_prob_terms(x, location, log_scale, log_degrees))


def _log_prob_terms(x: ArrayLike, location: ArrayLike, log_scale: ArrayLike, log_degrees: ArrayLike) -> jax.Array:
    x, location, log_scale, log_degrees = event_arrays(x, location, log_scale, log_degrees)
    half = 0.5 * jnp.exp(log_degrees)
    # log Gamma(half + 1/2) - log Gamma(half) - 1/2 log(half)
    of_gammas = half * jnp.log1p(0.5 / half) - 0.5 + stirling_error(half + 0.5) - stirling_error(half)
    root = (x - location) * jnp.exp(-log_scale - 0.5 * log_degrees)  # t / sqrt(v)
    tail = (half + 0.5) * _log1p_square(root)
    return of_gammas - 0.5 * LOG_2PI - log_scale - tail


def _log1p_square(u: jax.Array) -> jax.Array:
    """log(1 + u^2) without overflow of u^2."""
    large = jnp.abs(u) > 1.0
    small_u, large_u = jnp.where(large, 0.0, u), jnp.where(large, u, 1.0)
    outside = 2.0 * jnp.log(jnp.abs(large_u)) + jnp.log1p(jnp.square(1.0 / large_u))
    return jnp.where(large, outside, jnp.log1p(jnp.square(small_u)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StudentT(Distribution):
    """location + exp(log_scale) t at each place of one event, t ~ Student-t with v = 2 + exp(log_excess) degrees.

    More than 2 degrees of freedom are the distributions with a variance; `student_t_log_prob` takes fewer as well.
    """

    location: jax.Array
    log_scale: jax.Array
    log_excess: jax.Array  # log(v - 2)

    @property
    def log_degrees(self) -> jax.Array:
        """log v."""
        (log_excess,) = event_arrays(self.log_excess)
        return jnp.logaddexp(LOG_2, log_excess)

    @property
    def mean(self) -> jax.Array:
        (location,) = event_arrays(self.location)
        return location

    @property
    def standard_deviation(self) -> jax.Array:
        """exp(log_scale) sqrt(v / (v - 2))."""
        log_scale, log_excess = event_arrays(self.log_scale, self.log_excess)
        return jnp.exp(log_scale + 0.5 * (self.log_degrees - log_excess))

    def sample(self, key: jax.Array) -> jax.Array:
        """Draws t as a normal number / sqrt(gamma(v / 2) / (v / 2)), differentiable in all parameters."""
        location, log_scale = event_arrays(self.location, self.log_scale)
        normal_key, gamma_key = jax.random.split(key)
        half = 0.5 * jnp.exp(self.log_degrees)
        log_precision = jax.random.loggamma(gamma_key, half, dtype=location.dtype) - jnp.log(half)
        noise = jax.random.normal(normal_key, location.shape, location.dtype)
        return location + noise * jnp.exp(log_scale - 0.5 * log_precision)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return student_t_log_prob(value, self.location, self.log_scale, self.log_degrees)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.location, self.log_scale, self.log_degrees)
