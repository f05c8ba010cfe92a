"""Multivariate Normal with a full covariance matrix, given by its Cholesky factor: a posterior of correlated codes."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.typing import ArrayLike

from vae_jax.distributions._distribution import Distribution, event_arrays
from vae_jax.distributions._normal import LOG_2PI, Normal


def multivariate_normal_log_prob(x: ArrayLike, mean: ArrayLike, scale_tril: ArrayLike) -> jax.Array:
    """log N(x; mean, L L^T) = -1/2 |L^-1 (x - mean)|^2 - sum_i log L_ii - D/2 log 2 pi, in nats.

    Args:
      x: `[D]`.
      mean: `[D]`.
      scale_tril: L, `[D, D]` with a diagonal of positive numbers; entries above the diagonal are not read.

    Returns:
      A scalar.

    Raises:
      AssertionError: if the shapes differ from these.

    Source: Kingma & Welling 2019 (arXiv:1906.02691), section 2.5.1.
    """
    x, mean = event_arrays(x, mean)
    return _density_of_noise(solve_triangular(_factor(mean, scale_tril), x - mean, lower=True), scale_tril)


def multivariate_normal_kl(
    mean: ArrayLike, scale_tril: ArrayLike, other_mean: ArrayLike, other_scale_tril: ArrayLike
) -> jax.Array:
    """KL(N(m, L L^T) || N(m', L' L'^T)), in nats.

    With A = L'^-1 L, which is lower triangular, and d = L'^-1 (m - m'), the divergence is
    1/2 (sum_i (A_ii^2 - 1 - log A_ii^2) + sum_{i > j} A_ij^2 + |d|^2), a sum of non-negative terms.

    Args:
      mean: m, `[D]`.
      scale_tril: L, `[D, D]` with a diagonal of positive numbers; entries above the diagonal are not read.
      other_mean: m', `[D]`.
      other_scale_tril: L', like L.

    Returns:
      A scalar, never below 0.

    Raises:
      AssertionError: if the shapes differ from these.
    """
    mean, other_mean = event_arrays(mean, other_mean)
    factor, other = _factor(mean, scale_tril), _factor(other_mean, other_scale_tril)
    solved = solve_triangular(other, jnp.concatenate([factor, (mean - other_mean)[:, None]], axis=1), lower=True)
    return _kl(2.0 * (_log_diagonal(factor) - _log_diagonal(other)), solved[:, :-1], solved[:, -1])


def _kl(log_ratio: jax.Array, relative: jax.Array, distance: jax.Array) -> jax.Array:
    """KL from log A_ii^2 `[D]`, A `[D, D]` and d `[D]`, as in `multivariate_normal_kl`."""
    # expm1 keeps the digits that exp(r) - 1 loses when the posterior has collapsed onto the prior (r near 0).
    diagonal = jnp.sum(jnp.expm1(log_ratio) - log_ratio)
    return 0.5 * (diagonal + jnp.sum(jnp.square(jnp.tril(relative, -1))) + jnp.sum(jnp.square(distance)))


def _factor(mean: jax.Array, scale_tril: ArrayLike) -> jax.Array:
    (scale_tril,) = event_arrays(scale_tril)
    chex.assert_rank(mean, 1)
    chex.assert_shape(scale_tril, (*mean.shape, *mean.shape))
    return jnp.tril(scale_tril)


def _log_diagonal(scale_tril: ArrayLike) -> jax.Array:
    # The absolute values, because negating a column of L does not change the covariance.
    return jnp.log(jnp.abs(jnp.diagonal(event_arrays(scale_tril)[0])))


def _density_of_noise(noise: jax.Array, scale_tril: ArrayLike) -> jax.Array:
    return -0.5 * jnp.sum(jnp.square(noise) + LOG_2PI) - jnp.sum(_log_diagonal(scale_tril))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MultivariateNormal(Distribution):
    """N(mean, L L^T) over `[D]`; the factor L = scale_tril, `[D, D]`, is lower triangular with a positive diagonal.

    Entries above the diagonal are not read. The dimensions are dependent, so there are no terms per dimension.
    """

    mean: jax.Array
    scale_tril: jax.Array

    @property
    def standard_deviation(self) -> jax.Array:
        """Standard deviation of every dimension, `[D]`: the norms of the rows of L."""
        return jnp.linalg.norm(jnp.tril(event_arrays(self.scale_tril)[0]), axis=1)

    def from_standard_normal(self, noise: ArrayLike) -> jax.Array:
        """mean + L noise: maps draws of N(0, I) over `[D]` to draws of this distribution."""
        mean, noise = event_arrays(self.mean, noise)
        # Accelerators round, by default, the factors of a matrix product to fewer bits than float32 has.
        return mean + jnp.matmul(_factor(mean, self.scale_tril), noise, precision=jax.lax.Precision.HIGHEST)

    def sample(self, key: jax.Array) -> jax.Array:
        return self.from_standard_normal(self._noise(key))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        return multivariate_normal_log_prob(value, self.mean, self.scale_tril)

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise = self._noise(key)
        # Density from the noise, as for the Normal: precise even if the scale is far below |mean|, and without solving
        # a triangular system.
        return self.from_standard_normal(noise), _density_of_noise(noise, self.scale_tril)

    def kl(self, other: Distribution) -> jax.Array | None:
        if isinstance(other, MultivariateNormal):
            return multivariate_normal_kl(self.mean, self.scale_tril, other.mean, other.scale_tril)
        if not isinstance(other, Normal):
            return None
        mean, other_mean, log_variance = event_arrays(self.mean, other.mean, other.log_variance)
        factor, inverse = _factor(mean, self.scale_tril), jnp.exp(-0.5 * log_variance)
        log_ratio = 2.0 * _log_diagonal(factor) - log_variance
        return _kl(log_ratio, inverse[:, None] * factor, inverse * (mean - other_mean))

    def kl_from_normal(self, other: Normal) -> jax.Array:
        """KL(other || self) for a diagonal Normal `other`."""
        return multivariate_normal_kl(other.mean, jnp.diag(other.standard_deviation), self.mean, self.scale_tril)

    def _noise(self, key: jax.Array) -> jax.Array:
        (mean,) = event_arrays(self.mean)
        return jax.random.normal(key, mean.shape, mean.dtype)
