"""DIP-VAE: the covariance of the aggregate posterior drawn to the identity."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.models._model import Model
from vae_jax.objectives._batch import Aux, Objective, map_over_batch
from vae_jax.objectives._checks import check_between
from vae_jax.objectives._elbo import elbo_metrics
from vae_jax.objectives._encoded import Encoded, encoded_example, require_diagonal_normal
from vae_jax.params import Params


def batch_covariance(values: ArrayLike) -> jax.Array:
    """1/B sum_i (v_i - m)(v_i - m)^T of `[B, D]` values with mean m: `[D, D]`."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 2)
    centred = values - jnp.mean(values, axis=0, keepdims=True)
    return centred.T @ centred / values.shape[0]


def dip_penalty(covariance: ArrayLike, off_diagonal: ArrayLike, diagonal: ArrayLike) -> jax.Array:
    """off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2 of a `[D, D]` covariance C.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 6 and 7.
    """
    covariance = jnp.asarray(covariance)
    chex.assert_rank(covariance, 2)
    on = jnp.diag(covariance)
    off = jnp.sum(covariance**2) - jnp.sum(on**2)
    return jnp.asarray(off_diagonal) * off + jnp.asarray(diagonal) * jnp.sum((on - 1.0) ** 2)


def dip_vae_i_loss(off_diagonal: ArrayLike, diagonal: ArrayLike | None = None) -> Objective:
    """The objective -ELBO + `dip_penalty` of Cov_x(E[z | x]) over the batch, in nats per example.

    Metrics: `elbo`, `rate`, `distortion`, `dip_penalty`.

    Args:
      off_diagonal: lambda_od, at least 0.
      diagonal: lambda_d, at least 0; 10 lambda_od where None, as the paper has it.

    Raises:
      ValueError: where a number below 0 is given.
      TypeError: by the objective, where the posterior is no diagonal Normal over a vector.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 6.
    """
    diagonal = 10 * jnp.asarray(off_diagonal) if diagonal is None else diagonal
    return _dip("objectives.dip_vae_i_loss", off_diagonal, diagonal, of_means_only=True)


def dip_vae_ii_loss(off_diagonal: ArrayLike, diagonal: ArrayLike | None = None) -> Objective:
    """The objective -ELBO + `dip_penalty` of Cov(z) = Cov_x(E[z | x]) + E_x[Var(z | x)] over the batch.

    Metrics: `elbo`, `rate`, `distortion`, `dip_penalty`.

    Args:
      off_diagonal: lambda_od, at least 0.
      diagonal: lambda_d, at least 0; lambda_od where None, as the paper has it.

    Raises:
      ValueError: where a number below 0 is given.
      TypeError: by the objective, where the posterior is no diagonal Normal over a vector.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), eq. 7.
    """
    return _dip(
        "objectives.dip_vae_ii_loss", off_diagonal, off_diagonal if diagonal is None else diagonal, of_means_only=False
    )


def _dip(name: str, off_diagonal: ArrayLike, diagonal: ArrayLike, of_means_only: bool) -> Objective:
    check_between("off_diagonal", off_diagonal, 0)
    check_between("diagonal", diagonal, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        encoded: Encoded = map_over_batch(lambda vae, k, x: encoded_example(vae, params, k, x), model, key, batch)
        posteriors = require_diagonal_normal(name, encoded.posterior)
        covariance = batch_covariance(posteriors.mean)
        if not of_means_only:
            covariance += jnp.diag(jnp.mean(jnp.exp(posteriors.log_variance), axis=0))
        penalty = dip_penalty(covariance, off_diagonal, diagonal)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(encoded.terms)) | {"dip_penalty": penalty}
        return penalty - metrics["elbo"], encoded.aux(params, metrics)

    return objective
