"""Diagonal Laplace distribution: a decoder whose log-likelihood is the absolute error, or a heavy-tailed posterior."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays

LOG_2 = 0.6931471805599453


def laplace_log_prob(x: ArrayLike, mean: ArrayLike, log_scale: ArrayLike) -> jax.Array:
    """log Laplace(x; mean, exp(log_scale)) = -sum(|x - mean| exp(-log_scale) + log_scale + log 2), in nats.

    Args:
      x: one event of any shape.
      mean: the same shape.
      log_scale: the same shape; the variance is 2 exp(2 log_scale).

    Returns:
      A scalar, summed over the event.
    """
    return -jnp.sum(_negative_log_prob(x, mean, log_scale))


def _negative_log_prob(x: ArrayLike, mean: ArrayLike, log_scale: ArrayLike) -> jax.Array:
    x, mean, log_scale = event_arrays(x, mean, log_scale)
    return jnp.abs(x - mean) * jnp.exp(-log_scale) + log_scale + LOG_2


def laplace_kl(mean: ArrayLike, log_scale: ArrayLike, other_mean: ArrayLike, other_log_scale: ArrayLike) -> jax.Array:
    """KL(Laplace(m, b) || Laplace(m', b')) = sum(r - 1 - log r + r (t + exp(-t) - 1)), in nats.

    Here r = b / b' and t = |m - m'| / b. The usual form log(b'/b) + (|m - m'| + b exp(-t)) / b' - 1 suffers from
    cancellation for r near 1 and t near 0; this form does not.

    Args:
      mean: m, one event of any shape.
      log_scale: log b, the same shape.
      other_mean: m', the same shape.
      other_log_scale: log b', the same shape.

    Returns:
      A scalar, never below 0.

    Source: the integral of p log(p / p'), taken piecewise between m and m'.
    """
    return jnp.sum(_kl_terms(mean, log_scale, other_mean, other_log_scale))


def _kl_terms(mean: ArrayLike, log_scale: ArrayLike, other_mean: ArrayLike, other_log_scale: ArrayLike) -> jax.Array:
    mean, log_scale, other_mean, other_log_scale = event_arrays(mean, log_scale, other_mean, other_log_scale)
    log_ratio = log_scale - other_log_scale
    distance = jnp.abs(mean - other_mean) * jnp.exp(-log_scale)
    shift = jnp.exp(log_ratio) * (distance + jnp.expm1(-distance))
    return jnp.expm1(log_ratio) - log_ratio + shift


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Laplace(Distribution):
    """Laplace(mean, exp(log_scale)) over one event; both parameters have the event's shape."""

    mean: jax.Array
    log_scale: jax.Array

    @property
    def standard_deviation(self) -> jax.Array:
        """sqrt(2) exp(log_scale)."""
        (log_scale,) = event_arrays(self.log_scale)
        return jnp.sqrt(2.0) * jnp.exp(log_scale)

    def sample(self, key: jax.Array) -> jax.Array:
        return self.sample_and_log_prob(key)[0]

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return laplace_log_prob(value, self.mean, self.log_scale)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return -_negative_log_prob(value, self.mean, self.log_scale)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, log_scale = event_arrays(self.mean, self.log_scale)
        eps = jax.random.laplace(key, mean.shape, mean.dtype)
        # Density from eps, as for the Normal: (z - mean) / scale has no digits left if the scale is far below |mean|.
        return mean + jnp.exp(log_scale) * eps, -jnp.sum(jnp.abs(eps) + log_scale + LOG_2)

    def kl(self, other: Distribution) -> jax.Array | None:
        if not isinstance(other, Laplace):
            return None
        return laplace_kl(self.mean, self.log_scale, other.mean, other.log_scale)

    def kl_per_dimension(self, other: Distribution) -> jax.Array | None:
        if not isinstance(other, Laplace):
            return None
        return _kl_terms(self.mean, self.log_scale, other.mean, other.log_scale)
