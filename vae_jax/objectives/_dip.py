"""DIP-VAE: a penalty on the distance of the aggregate posterior's covariance from the identity."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import mean_of, standard_deviation_of
from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.objectives._batch import Aux, Objective, map_over_batch, unchanged
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.objectives._require import require_independent_dimensions
from vae_jax.params import Params


def batch_covariance(values: ArrayLike) -> jax.Array:
    """Covariance 1/B sum_i (v_i - m)(v_i - m)^T, `[D, D]`, of `[B, D]` values with mean m."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 2)
    centered = values - jnp.mean(values, axis=0, keepdims=True)
    return centered.T @ centered / values.shape[0]


def dip_penalty(covariance: ArrayLike, off_diagonal: ArrayLike, diagonal: ArrayLike) -> jax.Array:
    """Penalty off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2 of a `[D, D]` covariance C.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 6 and 7.
    """
    covariance = jnp.asarray(covariance)
    chex.assert_rank(covariance, 2)
    on = jnp.diag(covariance)
    off = jnp.sum(covariance**2) - jnp.sum(on**2)
    return jnp.asarray(off_diagonal) * off + jnp.asarray(diagonal) * jnp.sum((on - 1.0) ** 2)


def dip_vae_i_loss(off_diagonal: ArrayLike, diagonal: ArrayLike | None = None) -> Objective:
    """The objective -ELBO + `dip_penalty` of Cov_x(E[z | x]) over the batch, in nats per example.

    It needs its batch as a whole: no microbatches. Metrics: `elbo`, `rate`, `distortion`, `dip_penalty`.

    Args:
      off_diagonal: lambda_od, at least 0.
      diagonal: lambda_d, at least 0; None for 10 lambda_od, as in the paper.

    Raises:
      ValueError: if off_diagonal or diagonal is below 0.
      TypeError: by the objective, if z is not a vector, or its dimensions are not independent with a known mean and
        standard deviation.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 6.
    """
    diagonal = 10 * jnp.asarray(off_diagonal) if diagonal is None else diagonal
    return _dip("objectives.dip_vae_i_loss", off_diagonal, diagonal, of_means_only=True)


def dip_vae_ii_loss(off_diagonal: ArrayLike, diagonal: ArrayLike | None = None) -> Objective:
    """The objective -ELBO + `dip_penalty` of Cov(z) = Cov_x(E[z | x]) + E_x[Var(z | x)] over the batch.

    It needs its batch as a whole: no microbatches. Metrics, arguments and errors as for `dip_vae_i_loss`, except that
    diagonal = None means lambda_d = lambda_od, as in the paper.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 7.
    """
    diagonal = off_diagonal if diagonal is None else diagonal
    return _dip("objectives.dip_vae_ii_loss", off_diagonal, diagonal, of_means_only=False)


def _dip(name: str, off_diagonal: ArrayLike, diagonal: ArrayLike, of_means_only: bool) -> Objective:
    check_number("off_diagonal", off_diagonal, 0)
    check_number("diagonal", diagonal, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[ElboTerms, jax.Array, jax.Array]:
            posterior, z, terms = encoded(vae, params, key, x)
            require_independent_dimensions(name, posterior, z)  # else Var(z | x) is not diagonal
            return terms, mean_of(posterior), standard_deviation_of(posterior)

        terms, means, deviations = map_over_batch(example, model, key, batch)
        covariance = batch_covariance(means)
        if not of_means_only:
            covariance += jnp.diag(jnp.mean(deviations**2, axis=0))
        penalty = dip_penalty(covariance, off_diagonal, diagonal)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {"dip_penalty": penalty}
        return penalty - metrics["elbo"], unchanged(params, metrics)

    return objective
