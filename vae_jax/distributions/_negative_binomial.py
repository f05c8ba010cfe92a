"""Independent negative binomial distributions by mean and dispersion: a decoder of overdispersed counts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._poisson import poisson_sample
from vae_jax.distributions._saddle_point import LOG_2PI, deviance, is_count, stirling_error


def negative_binomial_log_prob(x: ArrayLike, log_mean: ArrayLike, log_dispersion: ArrayLike) -> jax.Array:
    """log NB(x; m, r) = sum(log [Gamma(x + r) / (Gamma(r) x!)] + r log(r / (r + m)) + x log(m / (r + m))), in nats.

    Here m = exp(log_mean) and r = exp(log_dispersion): the variance is m + m^2 / r, and r = infinity is the Poisson
    distribution. r is the `theta` of scvi-tools, the `n` of scipy and the `size` of R; other texts call 1 / r the
    dispersion.

    It is computed in Loader's saddle-point form. In float32 the error of a count's log-probability l is below
    10^-3 + 10^-6 |l| at counts up to 10^6 and at means down to 10^-8.

    Args:
      x: counts (whole numbers >= 0, as floating-point numbers), one event of any shape.
      log_mean: the same shape.
      log_dispersion: the same shape.

    Returns:
      A scalar, summed over the event; -inf if an entry of x is not a count. It has no gradient in x.

    Source: Loader 2000 [loader2000fast]; by mean and dispersion as in Lopez et al. 2018 [lopez2018deep].
    """
    return jnp.sum(log_prob_terms(x, log_mean, log_dispersion))


def log_prob_terms(x: ArrayLike, log_mean: ArrayLike, log_dispersion: ArrayLike) -> jax.Array:
    """Log-probability of every count, with the event's shape."""
    # Multiplied by 1 for the reason given in _poisson.py.
    x, log_mean, log_dispersion = (1.0 * array for array in event_arrays(x, log_mean, log_dispersion))
    dispersion = jnp.exp(log_dispersion)
    positive = jnp.where(x > 0, x, 1.0)
    of_count = stirling_error(positive) + 0.5 * (LOG_2PI + jnp.log(positive))
    of_dispersion = stirling_error(x + dispersion) - stirling_error(dispersion) - 0.5 * jnp.log1p(x / dispersion)
    terms = of_dispersion - jnp.where(x > 0, of_count, 0.0) - _deviance(x, log_mean, log_dispersion)
    return jnp.where(is_count(x), terms, -jnp.inf)


def _deviances(x: jax.Array, log_mean: jax.Array, log_dispersion: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Deviances of r from (x + r) r / (r + m), and of x from (x + r) m / (r + m)."""
    dispersion = jnp.exp(log_dispersion)
    log_odds = log_dispersion - log_mean
    difference = _score(x, log_mean, log_dispersion)  # of x; that of r is its negative
    # log of (x + r) / (r + m), by which r and m are multiplied.
    log_factor = jnp.log1p(x / dispersion) - jax.nn.softplus(-log_odds)
    total = x + dispersion
    of_dispersion = deviance(dispersion, total * jax.nn.sigmoid(log_odds), -difference, -log_factor)
    positive = jnp.where(x > 0, x, 1.0)
    # Two forms of log(x / mean), each without a difference of large logarithms on its side.
    log_ratio = jnp.where(
        dispersion < x,
        jax.nn.softplus(log_odds) - jnp.log1p(dispersion / positive),
        jnp.log(positive) - log_mean - log_factor,
    )
    return of_dispersion, deviance(x, total * jax.nn.sigmoid(-log_odds), difference, log_ratio)


def _score(x: jax.Array, log_mean: jax.Array, log_dispersion: jax.Array) -> jax.Array:
    """d log NB / d log m = (x - m) r / (r + m)."""
    return (x - jnp.exp(log_mean)) * jax.nn.sigmoid(log_dispersion - log_mean)


@jax.custom_jvp
def _deviance(x: jax.Array, log_mean: jax.Array, log_dispersion: jax.Array) -> jax.Array:
    return sum(_deviances(x, log_mean, log_dispersion), start=jnp.zeros(()))


# The derivatives are written by hand, since those of the two parts are large and almost cancel. With the factor f of
# `_deviances`, the sum is -(x + r) log f + x log(x / m); its derivative in log r is r (f - 1 - log f), the first part.
_deviance.defjvps(
    None,
    lambda tangent, _, *args: -_score(*args) * tangent,
    lambda tangent, _, *args: _deviances(*args)[0] * tangent,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NegativeBinomial(Distribution):
    """NB(mean exp(log_mean), dispersion r = exp(log_dispersion)) at each place of one event; draws are float32 counts.

    The variance is mean + mean^2 / r.
    """

    log_mean: jax.Array
    log_dispersion: jax.Array

    support: ClassVar[str] = "the counts 0, 1, 2, ..."

    @property
    def mean(self) -> jax.Array:
        log_mean, _ = event_arrays(self.log_mean, self.log_dispersion)
        return jnp.exp(log_mean)

    @property
    def standard_deviation(self) -> jax.Array:
        log_mean, log_dispersion = event_arrays(self.log_mean, self.log_dispersion)
        return jnp.exp(0.5 * jnp.logaddexp(log_mean, 2.0 * log_mean - log_dispersion))

    def sample(self, key: jax.Array) -> jax.Array:
        """Draws a count of a Poisson distribution whose rate is drawn from a Gamma distribution."""
        log_mean, log_dispersion = event_arrays(self.log_mean, self.log_dispersion)
        gamma_key, poisson_key = jax.random.split(key)
        # The logarithm of a Gamma draw: at small dispersions most draws underflow.
        dispersion = jax.lax.stop_gradient(jnp.exp(log_dispersion))
        log_gamma = jax.random.loggamma(gamma_key, dispersion, dtype=log_mean.dtype)
        return poisson_sample(poisson_key, log_gamma + log_mean - log_dispersion)

    def supports(self, value: ArrayLike) -> jax.Array:
        return jnp.all(is_count(jnp.asarray(value)))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return negative_binomial_log_prob(value, self.log_mean, self.log_dispersion)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return log_prob_terms(value, self.log_mean, self.log_dispersion)
