"""Continuous Bernoulli distribution: a density on [0, 1] for gray pixels."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays, in_unit_interval


def continuous_bernoulli_log_prob(x: ArrayLike, logits: ArrayLike) -> jax.Array:
    """log CB(x; sigmoid(logits)) = sum((x - 1/2) l - log(sinh(l/2) / (l/2))), in nats.

    The density is l exp(x l) / (exp(l) - 1) on [0, 1]. This form has no singularity at l = 0, where the paper's
    normalizer C(lambda) has one (lambda = 1/2).

    Args:
      x: one event of any shape, entries in [0, 1].
      logits: l, the same shape.

    Returns:
      A scalar, summed over the event.

    Source: Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845), eq. 4-6.
    """
    return jnp.sum(_log_prob_terms(x, logits))


def _log_prob_terms(x: ArrayLike, logits: ArrayLike) -> jax.Array:
    x, logits = event_arrays(x, logits)
    return (x - 0.5) * logits - _log_sinhc(0.5 * logits)


def _log_sinhc(h: jax.Array) -> jax.Array:
    """log(sinh(h) / h), even in h: a series near 0, |h| - log(2 |h|) + log(1 - exp(-2 |h|)) elsewhere."""
    small = jnp.abs(h) < 0.5
    square = jnp.square(jnp.where(small, h, 0.0))
    series = square * (1 / 6 - square * (1 / 180 - square * (1 / 2835 - square / 37800)))
    # The unused branch is evaluated at 1, where its gradient is finite.
    large = jnp.where(small, 1.0, jnp.abs(h))
    return jnp.where(small, series, large - jnp.log(2.0 * large) + jnp.log1p(-jnp.exp(-2.0 * large)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ContinuousBernoulli(Distribution):
    """CB(sigmoid(logits)) at each place of one event, on [0, 1]."""

    logits: jax.Array

    support: ClassVar[str] = "[0, 1]"

    @property
    def mean(self) -> jax.Array:
        """1/2 + (coth(l/2) - 2/l) / 2, the derivative of the log-normalizer; not sigmoid(l)."""
        (logits,) = event_arrays(self.logits)
        _, langevin = jax.jvp(_log_sinhc, (0.5 * logits,), (jnp.ones_like(logits),))
        return 0.5 + 0.5 * langevin

    def sample(self, key: jax.Array) -> jax.Array:
        """Draws by the inverse distribution function, log(1 + u (exp(l) - 1)) / l; differentiable in the logits."""
        (logits,) = event_arrays(self.logits)
        u = jax.random.uniform(key, logits.shape, logits.dtype)
        small = jnp.abs(logits) < 1e-3
        # For l < 0 no exponential overflows; l > 0 is its mirror image.
        negative = jnp.where(small, -1.0, -jnp.abs(logits))
        inverse = jnp.log1p(u * jnp.expm1(negative)) / negative
        mirrored = jnp.where(logits > 0, 1.0 - inverse, inverse)
        # First order in l: the remainder is below the resolution of float32.
        near_uniform = u + 0.5 * logits * u * (1.0 - u)
        return jnp.clip(jnp.where(small, near_uniform, mirrored), 0.0, 1.0)

    def supports(self, value: ArrayLike) -> jax.Array:
        return in_unit_interval(value)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return continuous_bernoulli_log_prob(value, self.logits)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        return _log_prob_terms(value, self.logits)
