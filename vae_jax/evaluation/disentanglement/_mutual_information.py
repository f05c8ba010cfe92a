"""Mutual information of each binned latent with each factor, and the scores based on it: MIG and modularity."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.disentanglement._checks import checked

NUM_BINS = 20
_ROUNDING = 1e-6  # nats below which a float32 result counts as 0


def mutual_information_matrix(codes: ArrayLike, factors: ArrayLike, num_bins: int = NUM_BINS) -> np.ndarray:
    """Mutual information I(bin of z_d; factor k) in nats, `[D, K]`, of the empirical distribution of the images.

    Each latent is divided into bins of equal width between its smallest and largest value, as in disentanglement_lib.
    The estimate from n images is above 0 even for independent variables, by about (bins - 1)(values - 1) / (2 n).

    Args:
      codes: `[n, D]`.
      factors: integers `[n, K]`; factors that do not vary are left out.
      num_bins: number of bins of each latent.

    Raises:
      ValueError: if codes are not finite, or no factor varies.
    """
    codes, factors = checked("the mutual information", codes, factors)
    values = int(factors.max()) + 1
    matrix = np.asarray(_matrix(jnp.asarray(codes), jnp.asarray(factors), num_bins, values), np.float64)
    return np.where(matrix < _ROUNDING, 0.0, matrix)


def entropies(factors: ArrayLike) -> np.ndarray:
    """Entropy H(factor k) in nats, `[K]`, of the empirical distribution of the images."""
    counts = [np.unique(column, return_counts=True)[1] / len(column) for column in np.asarray(factors).T]
    return np.array([-(p * np.log(p)).sum() for p in counts])


def mutual_information_gap(codes: ArrayLike, factors: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """MIG = mean over factors of (largest - second largest I(z_d; factor)) / H(factor): 0 to 1.

    If there is only one latent, the second largest is 0.

    Args:
      codes: `[n, D]`; disentanglement_lib uses 10,000 images.
      factors: integers `[n, K]`; factors that do not vary are left out.
      num_bins: number of bins of each latent.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Chen et al. 2018 (arXiv:1802.04942), eq. 6; bins as in Locatello et al. 2019 (arXiv:1811.12359).
    """
    codes, factors = checked("mig", codes, factors)
    information = np.sort(mutual_information_matrix(codes, factors, num_bins), axis=0)
    second = information[-2] if len(information) > 1 else 0.0
    return float(np.mean((information[-1] - second) / entropies(factors)))


def modularity(codes: ArrayLike, factors: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Modularity = mean over latents of 1 - sum over all but the best factor of I^2 / (max I^2 (K - 1)): 0 to 1.

    A latent without information about any factor counts as 0. Noise does not score 0: the bias of the estimated mutual
    information is larger for factors with many values than for the others.

    Args:
      codes: `[n, D]`; disentanglement_lib uses 10,000 images.
      factors: integers `[n, K]`; factors that do not vary are left out. With a single factor the score is 1 or 0.
      num_bins: number of bins of each latent.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Ridgeway & Mozer 2018 (arXiv:1802.05312), section 3.
    """
    squared = mutual_information_matrix(*checked("modularity", codes, factors), num_bins) ** 2
    largest = squared.max(axis=1)
    others = (squared.sum(axis=1) - largest) / np.maximum(largest * (squared.shape[1] - 1), 1e-300)
    return float(np.mean(np.where(largest > 0, 1 - others, 0.0)))


@functools.partial(jax.jit, static_argnames=("num_bins", "num_values"))
def _matrix(codes: jax.Array, factors: jax.Array, num_bins: int, num_values: int) -> jax.Array:
    low, high = jnp.min(codes, axis=0), jnp.max(codes, axis=0)
    edges = low[:, None] + (high - low)[:, None] * (jnp.arange(num_bins) / num_bins)[None]
    # The number of left edges at or below a value: 1 to num_bins, whatever the rounding of the edges.
    bins = jax.vmap(lambda e, z: jnp.searchsorted(e, z, side="right") - 1, in_axes=(0, 1))(edges, codes)

    def information(bins: jax.Array, factor: jax.Array) -> jax.Array:
        counts = jnp.zeros((num_bins, num_values)).at[jnp.clip(bins, 0), factor].add(1.0)
        joint = counts / bins.shape[0]
        independent = jnp.sum(joint, axis=1, keepdims=True) * jnp.sum(joint, axis=0, keepdims=True)
        return jnp.sum(jnp.where(joint > 0, joint * jnp.log(jnp.where(joint > 0, joint / independent, 1.0)), 0.0))

    of_factors = jax.vmap(information, in_axes=(None, 1))
    return jax.vmap(of_factors, in_axes=(0, None))(bins, factors)
