"""Independent log-normal distributions: a decoder of positive numbers, such as incomes and concentrations."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._normal import LOG_2PI, reparameterize

_LARGEST_LOG = 87.0  # exp(87) = 6e37 and exp(-87) = 2e-38 are normal numbers of float32


def log_normal_log_prob(x: ArrayLike, location: ArrayLike, log_variance: ArrayLike) -> jax.Array:
    """log density of x whose logarithm is N(location, exp(log_variance)), in nats.

      log p(x) = sum(log N(log x; location, exp(log_variance)) - log x)

    Args:
      x: numbers above 0, one event of any shape.
      location: mean of log x, the same shape.
      log_variance: logarithm of the variance of log x, the same shape.

    Returns:
      A scalar, summed over the event; -inf if an entry of x is not above 0.
    """
    return jnp.sum(_log_prob_terms(x, location, log_variance))


def _log_prob_terms(x: ArrayLike, location: ArrayLike, log_variance: ArrayLike) -> jax.Array:
    x, location, log_variance = event_arrays(x, location, log_variance)
    positive = x > 0
    log_x = jnp.log(jnp.where(positive, x, 1.0))
    standardized = (log_x - location) * jnp.exp(-0.5 * log_variance)
    terms = -0.5 * (jnp.square(standardized) + (log_variance + LOG_2PI)) - log_x
    return jnp.where(positive, terms, -jnp.inf)


def _exp(log_value: jax.Array) -> jax.Array:
    return jnp.exp(jnp.clip(log_value, -_LARGEST_LOG, _LARGEST_LOG))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogNormal(Distribution):
    """exp(N(location, exp(log_variance))) at each place of one event.

    Draws, mean and standard deviation that leave the range of float32 saturate at exp(-87) and exp(87), so that a draw
    is in the support.
    """

    location: jax.Array  # mean of log x
    log_variance: jax.Array  # logarithm of the variance of log x

    support: ClassVar[str] = "the numbers above 0"
    placeholder: ClassVar[float] = 1.0

    @property
    def mean(self) -> jax.Array:
        """exp(location + exp(log_variance) / 2)."""
        return _exp(self._log_mean())

    @property
    def standard_deviation(self) -> jax.Array:
        """mean sqrt(exp(exp(log_variance)) - 1)."""
        (log_variance,) = event_arrays(self.log_variance)
        variance = jnp.exp(log_variance)
        return _exp(self._log_mean() + 0.5 * (variance + jnp.log(-jnp.expm1(-variance))))

    def _log_mean(self) -> jax.Array:
        location, log_variance = event_arrays(self.location, self.log_variance)
        return location + 0.5 * jnp.exp(log_variance)

    def sample(self, key: jax.Array) -> jax.Array:
        return _exp(reparameterize(key, self.location, self.log_variance))

    def supports(self, value: ArrayLike) -> jax.Array:
        value = jnp.asarray(value)
        return jnp.all((value > 0) & jnp.isfinite(value))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return log_normal_log_prob(value, self.location, self.log_variance)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.location, self.log_variance)
