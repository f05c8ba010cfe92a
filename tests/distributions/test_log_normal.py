import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.distributions import LogNormal, log_normal_log_prob


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2, 3)])
def test_density_and_moments_agree_with_scipy(shape):
    rng = np.random.default_rng(0)
    location, log_variance = rng.normal(size=(2, *shape)).astype(np.float32)
    x = np.exp(rng.normal(size=shape)).astype(np.float32)
    reference = scipy.stats.lognorm(np.exp(np.float64(log_variance) / 2), scale=np.exp(np.float64(location)))
    np.testing.assert_allclose(log_normal_log_prob(x, location, log_variance), reference.logpdf(x).sum(), rtol=1e-5)
    dist = LogNormal(location, log_variance)
    np.testing.assert_allclose(dist.mean, reference.mean(), rtol=1e-5)
    np.testing.assert_allclose(dist.standard_deviation, reference.std(), rtol=1e-4)


def test_a_small_variance_keeps_the_digits_of_the_standard_deviation():
    # mean * sqrt(exp(v) - 1) is about sqrt(v) for v = exp(-30).
    np.testing.assert_allclose(LogNormal(jnp.zeros(1), jnp.full(1, -30.0)).standard_deviation, np.exp(-15.0), rtol=1e-5)


def test_draws_outside_the_range_of_float32_saturate_inside_the_support():
    dist = LogNormal(jnp.asarray([200.0, -200.0]), jnp.zeros(2))
    draw = dist.sample(jax.random.key(0))
    np.testing.assert_allclose(draw, np.exp([87.0, -87.0]), rtol=1e-5)
    assert dist.supports(draw)


def test_numbers_that_are_not_above_0_have_density_0_and_finite_gradients():
    for x in (0.0, -1.0):
        value, gradient = jax.value_and_grad(lambda location, x=x: log_normal_log_prob(x, location, 0.0))(0.0)
        assert value == -np.inf
        assert np.isfinite(gradient)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        log_normal_log_prob(*[np.ones(3, np.float32)] * 2, np.zeros(other, np.float32))
