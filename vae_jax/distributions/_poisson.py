"""Independent Poisson distributions with given log-rates: a decoder of counts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._saddle_point import LOG_2PI, deviance, is_count, stirling_error

# From this rate on, draws are rounded draws of a Normal: float32 holds few larger whole numbers, and the skewness is
# below 4e-4.
_NORMAL_FROM = 1e7


def poisson_log_prob(x: ArrayLike, log_rate: ArrayLike) -> jax.Array:
    """log Poisson(x; exp(log_rate)) = sum(x log_rate - exp(log_rate) - log x!), in nats.

    It is computed in Loader's saddle-point form. In float32 the error of a count's log-probability l is below
    10^-3 + 10^-6 |l| at counts up to 10^6 and at rates down to 10^-8.

    Args:
      x: counts (whole numbers >= 0, as floating-point numbers), one event of any shape.
      log_rate: the same shape.

    Returns:
      A scalar, summed over the event; -inf if an entry of x is not a count. It has a gradient in log_rate alone.

    Source: Loader 2000 [loader2000fast].
    """
    return jnp.sum(_log_prob_terms(x, log_rate))


def _log_prob_terms(x: ArrayLike, log_rate: ArrayLike) -> jax.Array:
    # JAX 0.10 fails on a NumPy array, mapped inside jit, as an argument of a custom_jvp; multiplied by 1 it is a jax
    # array.
    return _log_prob(*(1.0 * array for array in event_arrays(x, log_rate)))


@jax.custom_jvp
def _log_prob(x: jax.Array, log_rate: jax.Array) -> jax.Array:
    rate = jnp.exp(log_rate)
    positive = jnp.where(x > 0, x, 1.0)
    of_count = stirling_error(positive) + 0.5 * (LOG_2PI + jnp.log(positive))
    from_rate = deviance(x, rate, x - rate, jnp.log(positive) - log_rate)
    return jnp.where(is_count(x), -jnp.where(x > 0, of_count, 0.0) - from_rate, -jnp.inf)


_log_prob.defjvps(None, lambda tangent, _, x, log_rate: (x - jnp.exp(log_rate)) * tangent)


def poisson_sample(key: jax.Array, log_rate: jax.Array) -> jax.Array:
    """Draws counts as float32, without a gradient. JAX draws them with keys of threefry, its default, alone."""
    rate = jax.lax.stop_gradient(jnp.exp(log_rate))
    count_key, normal_key = jax.random.split(key)
    counts = jax.random.poisson(count_key, jnp.minimum(rate, _NORMAL_FROM)).astype(jnp.float32)
    large = jnp.round(rate + jnp.sqrt(rate) * jax.random.normal(normal_key, rate.shape, rate.dtype))
    return jnp.where(rate < _NORMAL_FROM, counts, large)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Poisson(Distribution):
    """Poisson(exp(log_rate)) at each place of one event; draws are float32 arrays of counts."""

    log_rate: jax.Array

    support: ClassVar[str] = "the counts 0, 1, 2, ..."

    @property
    def mean(self) -> jax.Array:
        (log_rate,) = event_arrays(self.log_rate)
        return jnp.exp(log_rate)

    @property
    def standard_deviation(self) -> jax.Array:
        (log_rate,) = event_arrays(self.log_rate)
        return jnp.exp(0.5 * log_rate)

    def sample(self, key: jax.Array) -> jax.Array:
        return poisson_sample(key, *event_arrays(self.log_rate))

    def supports(self, value: ArrayLike) -> jax.Array:
        return jnp.all(is_count(jnp.asarray(value)))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return poisson_log_prob(value, self.log_rate)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.log_rate)
