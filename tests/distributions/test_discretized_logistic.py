"""Tests against differences of scipy.stats.logistic's distribution function (or of its tail) in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.distributions import DiscretizedLogistic, discretized_logistic_log_prob

PIXELS = (np.arange(256) / 255).astype(np.float32)


def probabilities(location, log_scale):
    """P(0) .. P(255) by scipy in float64, from the lower tail below the location and from the upper tail above it."""
    edges = np.concatenate([[-np.inf], (np.arange(1, 256) - 0.5) / 255, [np.inf]])
    logistic = scipy.stats.logistic(np.float64(np.float32(location)), np.exp(np.float64(np.float32(log_scale))))
    by_lower, by_upper = np.diff(logistic.cdf(edges)), -np.diff(logistic.sf(edges))
    return np.where(np.arange(256) / 255 < location, by_lower, by_upper)


@jax.jit
def _all_log_probs(location, log_scale):
    return jax.vmap(lambda x: discretized_logistic_log_prob(x, location, log_scale))(PIXELS)


def all_log_probs(location, log_scale):
    return np.asarray(_all_log_probs(np.float32(location), np.float32(log_scale)), np.float64)


@jax.jit
def jitted_mean(location, log_scale):
    return DiscretizedLogistic(location, log_scale).mean


@pytest.mark.parametrize("location", [-3.0, 0.0, 0.31, 0.5, 128 / 255, 1.0, 4.0])
@pytest.mark.parametrize("log_scale", [-30.0, -15.0, -7.0, -4.0, -2.0, 0.0, 3.0, 15.0, 30.0])
def test_the_256_probabilities_sum_to_one(location, log_scale):
    if log_scale <= -15.0 and location == 0.5:
        location = 0.5001  # 0.5 is the edge between two bins, and the scale is below the float32 spacing of x
    np.testing.assert_allclose(np.exp(all_log_probs(location, log_scale)).sum(), 1.0, atol=3e-5)


@pytest.mark.parametrize("location", [-0.5, 0.0, 0.3, 0.5, 1.0, 1.2])
@pytest.mark.parametrize("log_scale", [-6.0, -4.0, -2.0, 0.0, 3.0, 10.0])
def test_log_prob_agrees_with_differences_of_scipys_distribution_function(location, log_scale):
    expected = probabilities(location, log_scale)
    representable = expected > 1e-300
    actual = all_log_probs(location, log_scale)
    assert representable.sum() >= 20
    # (x - location) / scale carries float32's rounding of x, at most 1.2e-7 / scale.
    rounding = 2.5e-7 / np.exp(log_scale)
    np.testing.assert_allclose(actual[representable], np.log(expected[representable]), rtol=2e-6, atol=2e-5 + rounding)


@pytest.mark.parametrize("log_scale", [20.0, 30.0])
def test_at_a_huge_scale_the_ends_share_the_mass_and_a_bin_has_density_times_width(log_scale):
    # scipy's differences have no digits left; the density of the logistic at its center is 1/4, the width 1 / (255 s).
    log_probs = all_log_probs(0.5, log_scale)
    np.testing.assert_allclose(log_probs[[0, 255]], np.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(log_probs[1:255], np.full(254, -np.log(4 * 255) - log_scale), rtol=1e-6)


@pytest.mark.parametrize("location", [0.0, 64 / 255, 1.0])
@pytest.mark.parametrize("log_scale", [-30.0, -15.0])
def test_at_a_tiny_scale_all_mass_is_in_the_bin_of_the_location(location, log_scale):
    log_probs = all_log_probs(location, log_scale)
    k = round(location * 255)
    np.testing.assert_allclose(log_probs[k], 0.0, atol=1e-6)
    # In other bins the log-probability is -(distance to the bin's near edge) / scale, to first order.
    other = k + 3 if k < 128 else k - 3
    np.testing.assert_allclose(log_probs[other], -(2.5 / 255) / np.exp(log_scale), rtol=1e-4)


# No location is an edge of a bin (0.9 = 229.5 / 255 would be), where the mean at a tiny scale jumps.
@pytest.mark.parametrize("location", [-0.2, 0.0, 0.31, 0.92, 1.5])
@pytest.mark.parametrize("log_scale", [-30.0, -6.0, -2.0, 0.0, 5.0])
def test_mean_is_the_exact_sum(location, log_scale):
    expected = (probabilities(location, log_scale) * np.arange(256) / 255).sum()
    actual = jitted_mean(np.float32(location), np.float32(log_scale))
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


def test_mean_is_the_mean_of_draws():
    dist = DiscretizedLogistic(jnp.asarray([0.1, 0.9]), jnp.asarray([-1.5, -3.0]))
    draws = np.asarray(jax.vmap(dist.sample)(jax.random.split(jax.random.key(0), 40_000)), np.float64)
    # Five standard errors in two places: fails once in 870,000 seeds.
    assert (np.abs(draws.mean(0) - dist.mean) < 5 * draws.std(0) / np.sqrt(len(draws))).all()


def test_draws_are_the_256_pixel_values():
    # log_prob must find the bin of each draw; uint8 pixels divided by 255 have these values.
    dist = DiscretizedLogistic(jnp.asarray([0.5]), jnp.asarray([0.0]))
    draws = np.asarray(jax.vmap(dist.sample)(jax.random.split(jax.random.key(1), 20_000)))
    np.testing.assert_allclose(np.unique(draws), PIXELS, rtol=2e-7)  # all 256 levels: each has probability > 1 / 1021


def test_log_prob_is_summed_over_an_image():
    rng = np.random.default_rng(0)
    k, location = rng.integers(0, 256, (2, 2, 3)), rng.random((2, 2, 3)).astype(np.float32)
    log_scale = rng.uniform(-4, 0, (2, 2, 3)).astype(np.float32)
    expected = sum(np.log(probabilities(location[i], log_scale[i])[k[i]]) for i in np.ndindex(2, 2, 3))
    x = (k / 255).astype(np.float32)
    np.testing.assert_allclose(discretized_logistic_log_prob(x, location, log_scale), expected, rtol=1e-5)


def test_bfloat16_parameters_give_float32_densities():
    low = [jnp.asarray(v, jnp.bfloat16) for v in ([0.5, 0.25], [-2.0, -3.0])]  # exact in bfloat16
    x = jnp.asarray(PIXELS[[3, 200]])
    assert DiscretizedLogistic(*low).log_prob(x).dtype == jnp.float32
    exact = DiscretizedLogistic(*(v.astype(jnp.float32) for v in low))
    assert DiscretizedLogistic(*low).log_prob(x) == exact.log_prob(x)
    np.testing.assert_array_equal(DiscretizedLogistic(*low).mean, exact.mean)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    for arguments in ((3,), (3,), other), ((3,), other, (3,)), (other, (3,), (3,)):
        with pytest.raises(AssertionError, match="shape"):
            discretized_logistic_log_prob(*(jnp.zeros(s) for s in arguments))
