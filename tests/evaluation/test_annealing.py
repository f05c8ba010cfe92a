"""Unit tests of annealing: weights and step sizes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import Normal, standard_normal
from vae_jax.evaluation._annealing import adapted_step_sizes, anneal, anneal_back, first_points, path_between
from vae_jax.evaluation._hmc import point_at
from vae_jax.evaluation._temperatures import checked_temperatures, sigmoid_temperatures

LOG_EVIDENCE = -3.0
TEMPERATURES = checked_temperatures(sigmoid_temperatures(20))


def path_of(scales):
    """Path from N(0, scales^2) to exp(-3) N(scales, scales^2 / 4), whose integral is exp(-3) for any scales."""
    scales = jnp.asarray(scales, jnp.float32)
    end = Normal(scales, 2.0 * jnp.log(scales / 2.0))
    return path_between(
        Normal(jnp.zeros(scales.shape), 2.0 * jnp.log(scales)), lambda z: LOG_EVIDENCE + end.log_prob(z)
    )


def end_points(key, scales, num_chains):
    scales = jnp.asarray(scales, jnp.float32)
    draws = scales[None] + scales[None] / 2.0 * jax.random.normal(key, (num_chains, *scales.shape))
    return jax.vmap(partial(point_at, path_of(scales).densities))(draws)


@pytest.mark.slow
def test_weights_are_unbiased_both_ways_whatever_the_step_size():
    # 5000 independent chains each way; steps too short, right, and at the end of the path too long to be stable.
    scales = np.array([0.3, 2.0])

    @jax.jit  # once for the three
    def both(key, sizes):
        first, there, last, back = jax.random.split(key, 4)
        path = path_of(scales)
        forward = anneal(there, path, first_points(first, path, 5000), TEMPERATURES, sizes, 3)
        reverse = anneal_back(back, path, end_points(last, scales, 5000), TEMPERATURES, sizes, 3)
        return forward, reverse

    for step_size in (0.15, 0.5, 1.0):
        sizes = jnp.full((20, 2), step_size) * scales[None].astype(np.float32)
        forward, reverse = both(jax.random.key(0), sizes)
        for relative in (np.expm1(forward.log_weights - LOG_EVIDENCE), np.expm1(LOG_EVIDENCE - reverse.log_weights)):
            # Five standard errors of a mean: once in 1.7 million seeds; and an error small enough to say something.
            error = relative.std() / np.sqrt(5000)
            assert error < 0.2
            assert abs(relative.mean()) < 5 * error
        # On average the logarithms are below and above, because E log w <= log E w.
        assert forward.log_weights.mean() < LOG_EVIDENCE < reverse.log_weights.mean()


@pytest.mark.slow
def test_step_sizes_reach_the_wanted_acceptance_and_follow_the_scale_of_q0():
    scales = np.array([0.01, 100.0])
    temperatures = checked_temperatures(sigmoid_temperatures(100))

    @jax.jit
    def run(key):
        adapt, first, there = jax.random.split(key, 3)
        path = path_of(scales)
        sizes = adapted_step_sizes(adapt, path, temperatures, 5)
        points = first_points(first, path, 100)
        return sizes, anneal(there, path, points, temperatures, sizes, 5).acceptance_rate

    sizes, acceptance = run(jax.random.key(1))
    assert sizes.shape == (100, 2)
    assert 0.55 < acceptance < 0.75
    # In units of q0's standard deviation both dimensions have the same size, up to the error of 64 draws.
    relative = np.asarray(sizes) / scales
    np.testing.assert_allclose(relative[:, 0], relative[:, 1], rtol=0.5)
    # The densities end at half the width of the beginning, and so do the steps, roughly.
    shrink = np.exp(np.log(relative[-20:]).mean() - np.log(relative[:20]).mean())
    assert 0.3 < shrink < 0.8


def test_equal_temperatures_add_nothing_where_the_likelihood_is_zero():
    # log p(x, z) is -inf for half of the draws of q0, and between two equal temperatures 0 times -inf would be NaN.
    half = lambda z: jnp.where(z[0] > 0, standard_normal(1).log_prob(z), -jnp.inf)
    path = path_between(standard_normal(1), half)
    temperatures, sizes = jnp.array([0.0, 0.0, 0.25, 0.5, 0.75, 1.0]), jnp.ones((5, 1))

    @jax.jit
    def log_weights(first, there):
        return anneal(there, path, first_points(first, path, 4000), temperatures, sizes, 2).log_weights

    weights = np.exp(np.asarray(log_weights(jax.random.key(0), jax.random.key(1)), np.float64))
    assert np.isfinite(weights).all()
    assert abs(weights.mean() - 0.5) < 5 * weights.std() / np.sqrt(4000)
