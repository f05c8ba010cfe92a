"""Negative binomial distributions with additional zeros: a decoder of counts of which some were not registered."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._negative_binomial import NegativeBinomial
from vae_jax.distributions._negative_binomial import log_prob_terms as negative_binomial_terms
from vae_jax.distributions._saddle_point import is_count


def zero_inflated_negative_binomial_log_prob(
    x: ArrayLike, log_mean: ArrayLike, log_dispersion: ArrayLike, logits: ArrayLike
) -> jax.Array:
    """log ZINB(x) = sum(log [p 1(x = 0) + (1 - p) NB(x; m, r)]) with p = sigmoid(logits), in nats.

    Args:
      x: counts (whole numbers >= 0, as floating-point numbers), one event of any shape.
      log_mean: log m of the negative binomial distribution, the same shape.
      log_dispersion: log r, the same shape; the variance of the negative binomial distribution is m + m^2 / r.
      logits: logits of an additional zero, the same shape.

    Returns:
      A scalar, summed over the event; -inf if an entry of x is not a count. It has no gradient in x.

    Source: Lopez et al. 2018 [lopez2018deep].
    """
    return jnp.sum(_log_prob_terms(x, log_mean, log_dispersion, logits))


def _log_prob_terms(x: ArrayLike, log_mean: ArrayLike, log_dispersion: ArrayLike, logits: ArrayLike) -> jax.Array:
    x, log_mean, log_dispersion, logits = event_arrays(x, log_mean, log_dispersion, logits)
    counted = jax.nn.log_sigmoid(-logits) + negative_binomial_terms(x, log_mean, log_dispersion)
    at_zero = jnp.logaddexp(jax.nn.log_sigmoid(logits), jnp.where(x == 0, counted, 0.0))
    return jnp.where(x == 0, at_zero, counted)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(Distribution):
    """0 with probability sigmoid(logits), else a draw of NB(exp(log_mean), exp(log_dispersion)), at each place."""

    log_mean: jax.Array
    log_dispersion: jax.Array
    logits: jax.Array

    support: ClassVar[str] = "the counts 0, 1, 2, ..."

    @property
    def mean(self) -> jax.Array:
        """(1 - p) m."""
        log_mean, logits = event_arrays(self.log_mean, self.logits)
        return jnp.exp(jax.nn.log_sigmoid(-logits) + log_mean)

    @property
    def standard_deviation(self) -> jax.Array:
        """sqrt((1 - p) (m + m^2 / r + p m^2))."""
        log_mean, log_dispersion, logits = event_arrays(self.log_mean, self.log_dispersion, self.logits)
        log_spread = jnp.logaddexp(-log_dispersion, jax.nn.log_sigmoid(logits)) + 2.0 * log_mean
        return jnp.exp(0.5 * (jax.nn.log_sigmoid(-logits) + jnp.logaddexp(log_mean, log_spread)))

    def sample(self, key: jax.Array) -> jax.Array:
        zero_key, count_key = jax.random.split(key)
        (logits,) = event_arrays(self.logits)
        counts = NegativeBinomial(self.log_mean, self.log_dispersion).sample(count_key)
        return jnp.where(jax.random.bernoulli(zero_key, jax.nn.sigmoid(logits)), 0.0, counts)

    def supports(self, value: ArrayLike) -> jax.Array:
        return jnp.all(is_count(jnp.asarray(value)))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return zero_inflated_negative_binomial_log_prob(value, self.log_mean, self.log_dispersion, self.logits)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.log_mean, self.log_dispersion, self.logits)
