"""Scores from groups of images that share one factor: the FactorVAE score and the BetaVAE score."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.disentanglement._checks import check_finite, unfinished_fits_allowed
from vae_jax.evaluation.disentanglement._sampling import indices_with_one_fixed, varying_factors
from vae_jax.evaluation.disentanglement._table import CodeTable

NUM_TRAIN, NUM_TEST = 10_000, 5_000
GROUP = 64  # number of images that share a factor
MIN_DEVIATION = 0.05  # smallest standard deviation of a latent that counts


def factor_vae_score(
    table: CodeTable, key: jax.Array, num_train: int = NUM_TRAIN, num_test: int = NUM_TEST, group: int = GROUP
) -> float:
    """FactorVAE score: accuracy, 0 to 1, of identifying a shared factor by the latent that varies least.

    A group of images that share a factor votes for the latent with the smallest variance relative to its variance over
    all images. A majority vote of num_train groups assigns a factor to each latent; the score is the accuracy of this
    assignment on num_test other groups. Latents with a standard deviation below 0.05 over all images do not count; if
    none counts, the score is 0.

    Args:
      table: codes of all images.
      key: PRNG key, consumed.
      num_train: number of groups to assign factors with, at least 1.
      num_test: number of groups to measure the accuracy on, at least 1.
      group: number of images per group, at least 2.

    Raises:
      ValueError: if codes are not finite, no factor has two values, or a number is too small.

    Source: Kim & Mnih 2018 (arXiv:1802.05983), section 4; numbers as in Locatello et al. 2019 (arXiv:1811.12359).
    """
    _check("factor_vae_score", table, num_train, num_test, group)
    places = varying_factors(table.factor_sizes)
    deviations = jnp.std(table.means, axis=0)
    if not bool(jnp.any(deviations >= MIN_DEVIATION)):
        return 0.0
    votes, factors = _votes(table.means, deviations, key, num_train + num_test, group, places, table.factor_sizes)
    votes, factors = np.asarray(votes), np.asarray(factors)
    counts = np.zeros((table.means.shape[1], len(places)), int)
    np.add.at(counts, (votes[:num_train], factors[:num_train]), 1)
    factor_of_latent = counts.argmax(axis=1)
    return float(np.mean(factor_of_latent[votes[num_train:]] == factors[num_train:]))


def beta_vae_score(
    table: CodeTable, key: jax.Array, num_train: int = NUM_TRAIN, num_test: int = NUM_TEST, group: int = GROUP
) -> float:
    """BetaVAE score: accuracy, 0 to 1, of a linear classifier of the factor that pairs share, from mean |z - z'|.

    Args:
      table: codes of all images.
      key: PRNG key, consumed.
      num_train: number of groups of pairs that scikit-learn's logistic regression is fitted to, at least 1.
      num_test: number of groups of pairs that its accuracy is measured on, at least 1.
      group: number of pairs per group, at least 2.

    Raises:
      ValueError: if codes are not finite, no factor has two values, or a number is too small.

    Source: Higgins et al. 2017 [higgins2017beta], section 3; numbers as in Locatello et al. 2019 (arXiv:1811.12359).
    """
    from sklearn.linear_model import LogisticRegression

    _check("beta_vae_score", table, num_train, num_test, group)
    places = varying_factors(table.factor_sizes)
    features, factors = _differences(table.means, key, num_train + num_test, group, places, table.factor_sizes)
    features, factors = np.asarray(features, np.float64), np.asarray(factors)
    if len(places) == 1:
        return 1.0  # a single factor needs no classifier
    if len(np.unique(factors[:num_train])) < 2:
        return float(np.mean(factors[num_train:] == factors[0]))  # all training groups share the same factor
    with unfinished_fits_allowed():
        classifier = LogisticRegression().fit(features[:num_train], factors[:num_train])
    return float(classifier.score(features[num_train:], factors[num_train:]))


def _check(metric: str, table: CodeTable, num_train: int, num_test: int, group: int) -> None:
    for name, value, least in (("num_train", num_train, 1), ("num_test", num_test, 1), ("group", group, 2)):
        if value < least:
            raise ValueError(f"{metric}: {name} must be at least {least}, got {value}")
    check_finite(metric, table.means)


@functools.partial(jax.jit, static_argnames=("count", "group", "factor_sizes"))
def _votes(
    means: jax.Array,
    deviations: jax.Array,
    key: jax.Array,
    count: int,
    group: int,
    places: jax.Array,
    factor_sizes: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
    """The latent that each group votes for, and the index in `places` of the factor that its images share."""

    def vote(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        factor_key, images_key = jax.random.split(key)
        chosen = jax.random.randint(factor_key, (), 0, len(places))
        indices = indices_with_one_fixed(images_key, places[chosen], group, factor_sizes)
        shares = jnp.var(means[indices], axis=0, ddof=1) / jnp.maximum(deviations, 1e-30) ** 2
        return jnp.argmin(jnp.where(deviations >= MIN_DEVIATION, shares, jnp.inf)), chosen

    return jax.lax.map(vote, jax.random.split(key, count), batch_size=min(count, 256))


@functools.partial(jax.jit, static_argnames=("count", "group", "factor_sizes"))
def _differences(
    means: jax.Array, key: jax.Array, count: int, group: int, places: jax.Array, factor_sizes: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """The mean |z - z'| of each group of pairs, and the index in `places` of the factor that each pair shares."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        factor_key, images_key = jax.random.split(key)
        chosen = jax.random.randint(factor_key, (), 0, len(places))
        # Each pair shares a value of its own.
        pair = lambda key: indices_with_one_fixed(key, places[chosen], 2, factor_sizes)
        codes = means[jax.vmap(pair)(jax.random.split(images_key, group))]
        return jnp.mean(jnp.abs(codes[:, 0] - codes[:, 1]), axis=0), chosen

    return jax.lax.map(one, jax.random.split(key, count), batch_size=min(count, 256))
