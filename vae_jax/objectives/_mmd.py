"""Maximum mean discrepancy between the aggregate posterior and the prior as a penalty: InfoVAE and WAE-MMD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import VAE, Model
from vae_jax.objectives._batch import Aux, Objective, map_over_batch, unchanged
from vae_jax.objectives._elbo import ElboTerms, elbo_metrics, encoded
from vae_jax.params import Params

Kernel = Callable[[jax.Array], jax.Array]  # squared distances -> kernel values, elementwise


def gaussian_kernel(variance: float) -> Kernel:
    """Kernel k(d^2) = exp(-d^2 / (2 variance)). Zhao et al. use variance = D^2 / 2 for codes of D dimensions."""
    check_number("variance", variance, 0.0, above=True)
    return lambda squared: jnp.exp(-squared / (2 * variance))


def inverse_multiquadratic_kernel(scale: float, factors: Sequence[float] = (0.1, 0.2, 0.5, 1, 2, 5, 10)) -> Kernel:
    """Heavy-tailed kernel k(d^2) = sum_f C f / (C f + d^2). Tolstikhin et al. use C = 2 D for a prior N(0, I)."""
    check_number("scale", scale, 0.0, above=True)
    for factor in factors:
        check_number("factors", factor, 0.0, above=True)
    return lambda squared: sum((scale * f / (scale * f + squared) for f in factors), jnp.zeros_like(squared))


def batch_mmd(xs: ArrayLike, ys: ArrayLike, kernel: Kernel) -> jax.Array:
    """MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) over pairs of different points: unbiased, and possibly below 0.

    Args:
      xs: `[B, D]`, B at least 2.
      ys: `[C, D]`, C at least 2.
      kernel: function of squared distances.

    Raises:
      ValueError: if B or C is below 2.

    Source: Gretton et al. 2012 [gretton2012kernel], eq. 3.
    """
    xs, ys = jnp.asarray(xs), jnp.asarray(ys)
    chex.assert_rank([xs, ys], 2)
    if min(xs.shape[0], ys.shape[0]) < 2:
        raise ValueError(f"xs and ys must hold at least 2 points each, got {xs.shape[0]} and {ys.shape[0]}")

    def values(a: jax.Array, b: jax.Array) -> jax.Array:
        # Differences, because |a|^2 + |b|^2 - 2 a b loses all digits for points that are close.
        return kernel(jnp.sum((a[:, None] - b[None]) ** 2, axis=-1))

    def mean_of_pairs(a: jax.Array) -> jax.Array:
        others = ~jnp.eye(a.shape[0], dtype=bool)
        return jnp.sum(jnp.where(others, values(a, a), 0.0)) / (a.shape[0] * (a.shape[0] - 1))

    return mean_of_pairs(xs) + mean_of_pairs(ys) - 2 * jnp.mean(values(xs, ys))


def info_vae_loss(alpha: ArrayLike, weight: ArrayLike, kernel: Kernel) -> Objective:
    """The objective distortion + (1 - alpha) rate + (alpha + weight - 1) MMD^2(q(z), p(z)), in nats per example.

    It needs its batch as a whole: no microbatches. alpha = 0 and weight = 1 is the VAE; alpha = 1 is the MMD-VAE, whose
    loss has no rate. Metrics: `elbo`, `rate`, `distortion`, `mmd`.

    Args:
      alpha: at most 1; values above 0 favor codes with more information about x.
      weight: lambda; alpha + lambda - 1 must be at least 0.
      kernel: function of squared distances; the code of the paper uses `gaussian_kernel(D**2 / 2)`.

    Raises:
      ValueError: if alpha is above 1, or alpha + weight - 1 below 0; by the objective, if the batch has one example.

    Source: Zhao, Song & Ermon 2019 (arXiv:1706.02262), eq. 6.
    """
    check_number("alpha", alpha, -float("inf"), 1)
    check_number("alpha + weight - 1", jnp.asarray(alpha) + jnp.asarray(weight) - 1, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[jax.Array, jax.Array, ElboTerms]:
            _, z, terms = encoded(vae, params, key, x)
            return z, _prior_draw(vae, params, key), terms

        zs, prior_draws, terms = map_over_batch(example, model, key, batch)
        mmd = _mmd_to_prior(zs, prior_draws, kernel)
        metrics = jax.tree.map(jnp.mean, elbo_metrics(terms)) | {"mmd": mmd}
        matched = (jnp.asarray(alpha) + jnp.asarray(weight) - 1) * mmd
        loss = metrics["distortion"] + (1 - jnp.asarray(alpha)) * metrics["rate"] + matched
        return loss, unchanged(params, metrics)

    return objective


def wae_mmd_loss(weight: ArrayLike, kernel: Kernel) -> Objective:
    """The objective distortion + weight MMD^2(q(z), p(z)); the posterior needs no density and may be a Delta.

    It needs its batch as a whole: no microbatches. Metrics: `distortion`, `mmd`.

    Args:
      weight: lambda, at least 0.
      kernel: function of squared distances; the paper uses `inverse_multiquadratic_kernel(2 * D)`.

    Raises:
      ValueError: if weight is below 0; by the objective, if the batch has one example.

    Source: Tolstikhin et al. 2018 (arXiv:1711.01558), algorithm 2.
    """
    check_number("weight", weight, 0)

    def objective(model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
            z = vae.encode(params, x).sample(key)
            return z, _prior_draw(vae, params, key), -vae.decode(params, z).log_prob(x)

        zs, prior_draws, distortions = map_over_batch(example, model, key, batch)
        mmd = _mmd_to_prior(zs, prior_draws, kernel)
        metrics = {"distortion": jnp.mean(distortions), "mmd": mmd}
        return metrics["distortion"] + jnp.asarray(weight) * mmd, unchanged(params, metrics)

    return objective


def _prior_draw(vae: VAE, params: Params, key: jax.Array) -> jax.Array:
    """Draw of the prior, with another key than the posterior's draw."""
    return vae.prior(params).sample(jax.random.fold_in(key, 1))


def _mmd_to_prior(zs: jax.Array, prior_draws: jax.Array, kernel: Kernel) -> jax.Array:
    if zs.shape[0] < 2:
        raise ValueError(f"batch must hold at least 2 examples, to compare codes in pairs, got {zs.shape[0]}")
    return batch_mmd(zs, prior_draws, kernel)
