"""Diagonal Normal distribution: the usual posterior, prior and Gaussian decoder of a VAE.

Functions on arrays come first, for use in any code; then the pytree that the models use.
"""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.distributions._distribution import Distribution, event_arrays

LOG_2PI = 1.8378770664093453


def reparameterize(key: jax.Array, mean: ArrayLike, log_variance: ArrayLike) -> jax.Array:
    """Draws z = mean + exp(log_variance / 2) * eps with eps ~ N(0, I), differentiable in both parameters.

    Args:
      key: PRNG key, consumed.
      mean: `[D]`, or an event of any shape.
      log_variance: the same shape; the logarithm of the variance (not of the standard deviation).

    Returns:
      One draw, the same shape.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), section 2.4.
    """
    mean, log_variance = event_arrays(mean, log_variance)
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape, mean.dtype)


def gaussian_kl(mean: ArrayLike, log_variance: ArrayLike) -> jax.Array:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) = 1/2 sum(exp(lv) - 1 - lv + mean^2), in nats.

    `distributions.kl_per_dimension` gives the KL of each dimension.

    Args:
      mean: `[D]`.
      log_variance: `[D]`.

    Returns:
      A scalar, never below 0.

    Raises:
      AssertionError: if the arguments do not have one rank-1 shape; map over a batch with `jax.vmap`.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix B.
    """
    mean, log_variance = event_arrays(mean, log_variance)
    chex.assert_rank([mean, log_variance], 1)
    return normal_kl(mean, log_variance, jnp.zeros_like(mean), jnp.zeros_like(mean))


def normal_kl(
    mean: ArrayLike, log_variance: ArrayLike, other_mean: ArrayLike, other_log_variance: ArrayLike
) -> jax.Array:
    """KL(N(m, exp lv) || N(m', exp lv')) = 1/2 sum(exp(lv - lv') - 1 - (lv - lv') + (m - m')^2 exp(-lv')), in nats.

    Args:
      mean: m, one event of any shape.
      log_variance: lv, the same shape.
      other_mean: m', the same shape.
      other_log_variance: lv', the same shape.

    Returns:
      A scalar, never below 0.
    """
    return 0.5 * jnp.sum(_twice_kl(mean, log_variance, other_mean, other_log_variance))


def _twice_kl(
    mean: ArrayLike, log_variance: ArrayLike, other_mean: ArrayLike, other_log_variance: ArrayLike
) -> jax.Array:
    """Twice the KL divergence of every dimension, non-negative, with the event's shape."""
    mean, log_variance, other_mean, other_log_variance = event_arrays(
        mean, log_variance, other_mean, other_log_variance
    )
    log_ratio = log_variance - other_log_variance
    distance = jnp.square((mean - other_mean) * jnp.exp(-0.5 * other_log_variance))
    # expm1 keeps the digits that exp(r) - 1 loses when the posterior has collapsed onto the prior (r near 0).
    return jnp.expm1(log_ratio) - log_ratio + distance


def normal_log_prob(x: ArrayLike, mean: ArrayLike, log_variance: ArrayLike) -> jax.Array:
    """log N(x; mean, diag exp(log_variance)) = -1/2 sum((x - mean)^2 exp(-lv) + lv + log 2 pi), in nats.

    Args:
      x: one event of any shape.
      mean: the same shape.
      log_variance: the same shape.

    Returns:
      A scalar, summed over the event.
    """
    # JAX 0.10 fails on a NumPy array, mapped inside jit, as an argument of a custom_jvp; multiplied by 1 it is a jax
    # array.
    return _log_density(*(1.0 * array for array in event_arrays(x, mean, log_variance)))


@jax.custom_jvp
def _log_density(x: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    standardized = (x - mean) * jnp.exp(-0.5 * log_variance)
    return -0.5 * (jnp.sum(jnp.square(standardized)) + jnp.sum(log_variance + LOG_2PI))


def _score(x: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """d log N / d mean; exp(-lv / 2) is multiplied twice because exp(-lv) overflows earlier."""
    root = jnp.exp(-0.5 * log_variance)
    return (x - mean) * root * root


def _inner(a: jax.Array, b: jax.Array) -> jax.Array:
    # Accelerators round, by default, the factors of a matrix product to fewer bits than float32 has.
    return jnp.vdot(a, b, precision=jax.lax.Precision.HIGHEST)


# The derivatives are written by hand as inner products: every z of a batch under every component of a mixture,
# [B] x [K], gives sums over [B, K, D] in the backward pass, which XLA runs on a CPU five to ten times as fast if they
# are matrix products.
_log_density.defjvps(
    lambda tangent, _, *args: -_inner(_score(*args), tangent),
    lambda tangent, _, *args: _inner(_score(*args), tangent),
    lambda tangent, _, x, mean, lv: 0.5 * _inner(jnp.square((x - mean) * jnp.exp(-0.5 * lv)) - 1.0, tangent),
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normal(Distribution):
    """N(mean, diag exp(log_variance)) over one event; both parameters have the event's shape."""

    mean: jax.Array
    log_variance: jax.Array

    @property
    def standard_deviation(self) -> jax.Array:
        (log_variance,) = event_arrays(self.log_variance)
        return jnp.exp(0.5 * log_variance)

    def from_standard_normal(self, noise: ArrayLike) -> jax.Array:
        """mean + standard_deviation * noise: maps draws of N(0, I), with the event's shape, to draws of this Normal."""
        mean, log_variance, noise = event_arrays(self.mean, self.log_variance, noise)
        return mean + jnp.exp(0.5 * log_variance) * noise

    def sample(self, key: jax.Array) -> jax.Array:
        return reparameterize(key, self.mean, self.log_variance)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return normal_log_prob(value, self.mean, self.log_variance)

    def log_prob_terms(self, value: ArrayLike) -> jax.Array:
        value, mean, log_variance = event_arrays(value, self.mean, self.log_variance)
        standardized = (value - mean) * jnp.exp(-0.5 * log_variance)
        return -0.5 * (jnp.square(standardized) + (log_variance + LOG_2PI))

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, log_variance = event_arrays(self.mean, self.log_variance)
        eps = jax.random.normal(key, mean.shape, mean.dtype)
        # Density from eps: (z - mean) / sigma has no digits left if sigma is far below |mean|.
        log_prob = -0.5 * jnp.sum(jnp.square(eps) + log_variance + LOG_2PI)
        return mean + jnp.exp(0.5 * log_variance) * eps, log_prob

    def kl(self, other: Distribution) -> jax.Array | None:
        if hasattr(other, "kl_from_normal"):  # a Normal with correlations
            return other.kl_from_normal(self)
        if not isinstance(other, Normal):
            return None
        return normal_kl(self.mean, self.log_variance, other.mean, other.log_variance)

    def kl_per_dimension(self, other: Distribution) -> jax.Array | None:
        if not isinstance(other, Normal):
            return None
        return 0.5 * _twice_kl(self.mean, self.log_variance, other.mean, other.log_variance)

    def averaged(self, other: Normal) -> Normal:
        """Returns the Normal with the average of both means and of both variances, the averaging of the GVAE."""
        mean, log_variance, other_mean, other_log_variance = event_arrays(
            self.mean, self.log_variance, other.mean, other.log_variance
        )
        return Normal(0.5 * (mean + other_mean), jnp.logaddexp(log_variance, other_log_variance) - jnp.log(2.0))


def standard_normal(dim: int) -> Normal:
    """N(0, I) over `[dim]`: the prior p(z) of Kingma & Welling 2014."""
    check_count("dim", dim, most=LARGEST_SIZE)
    return Normal(jnp.zeros(dim), jnp.zeros(dim))
