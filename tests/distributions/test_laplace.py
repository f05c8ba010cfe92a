import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from distributions.monte_carlo import assert_kl_is_the_mean_log_ratio
from vae_jax.distributions import Laplace, laplace_kl, laplace_log_prob


def float64_kl(mean, log_scale, other_mean, other_log_scale):
    """log(b'/b) + (|m - m'| + b exp(-|m - m'| / b)) / b' - 1, the usual form, in numpy float64."""
    m, ls, om, ols = (np.asarray(a, np.float64) for a in (mean, log_scale, other_mean, other_log_scale))
    distance, b, other_b = np.abs(m - om), np.exp(ls), np.exp(ols)
    return np.sum(ols - ls + (distance + b * np.exp(-distance / b)) / other_b - 1)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2, 3)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    x, mean, log_scale = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
    expected = scipy.stats.laplace.logpdf(x, mean, np.exp(log_scale.astype(np.float64))).sum()
    np.testing.assert_allclose(laplace_log_prob(x, mean, log_scale), expected, rtol=1e-5)
    np.testing.assert_allclose(Laplace(mean, log_scale).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-30.0, 30.0])
def test_log_prob_agrees_with_scipy_at_extreme_scales(log_scale):
    x = np.array([1.5 * np.exp(log_scale)], np.float32)
    expected = scipy.stats.laplace.logpdf(np.float64(x[0]), 0.0, np.exp(log_scale))
    actual = laplace_log_prob(x, np.zeros(1, np.float32), np.full(1, log_scale, np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_kl_agrees_with_monte_carlo():
    q = Laplace(np.array([0.3, -1.2], np.float32), np.array([-0.7, 0.4], np.float32))
    p = Laplace(np.array([0.0, -0.5], np.float32), np.array([0.1, 0.2], np.float32))
    assert_kl_is_the_mean_log_ratio(q, p)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 1e-2, 3.0])
@pytest.mark.parametrize("log_scale", [-1.0, 0.0, 1.5])
def test_kl_is_the_integral_of_the_log_ratio(mean, log_scale):
    other_mean, other_log_scale = 0.5, 0.25
    log_q = lambda z: scipy.stats.laplace.logpdf(z, mean, np.exp(log_scale))
    log_p = lambda z: scipy.stats.laplace.logpdf(z, other_mean, np.exp(other_log_scale))
    expected, _ = scipy.integrate.quad(
        lambda z: np.exp(log_q(z)) * (log_q(z) - log_p(z)), -200, 200, points=[mean, other_mean], limit=500
    )
    arguments = [np.array([v], np.float32) for v in (mean, log_scale, other_mean, other_log_scale)]
    np.testing.assert_allclose(laplace_kl(*arguments), expected, rtol=1e-4)
    np.testing.assert_allclose(float64_kl(*arguments), expected, rtol=1e-5)  # the reference of the tests below


def test_kl_keeps_its_digits_at_collapse():
    near = np.full(3, 1e-4, np.float32)
    zeros = np.zeros(3, np.float32)
    # To second order, r^2 / 2 in the scale and t^2 / 2 in the mean (relative error of the reference: 1e-16 / 1e-8).
    np.testing.assert_allclose(laplace_kl(zeros, near, zeros, zeros), float64_kl(zeros, near, zeros, zeros), rtol=0.02)
    np.testing.assert_allclose(laplace_kl(near, zeros, zeros, zeros), float64_kl(near, zeros, zeros, zeros), rtol=0.02)
    np.testing.assert_allclose(float64_kl(near, zeros, zeros, zeros), 3 * 0.5e-8, rtol=1e-3)
    assert laplace_kl(near, near, near, near) == 0


@pytest.mark.parametrize("log_scale", [-30.0, 30.0])
def test_kl_agrees_with_float64_at_extreme_scales(log_scale):
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    extreme = np.full(1, log_scale, np.float32)
    np.testing.assert_allclose(laplace_kl(one, extreme, zero, zero), float64_kl(one, extreme, zero, zero), rtol=1e-5)
    np.testing.assert_allclose(laplace_kl(one, zero, zero, extreme), float64_kl(one, zero, zero, extreme), rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-30.0, 30.0])
def test_sample_and_log_prob_keeps_its_digits_at_extreme_scales(log_scale):
    # E log q = -D (1 + log b + log 2), and the variance of log q is D.
    dim, count = 8, 4000
    dist = Laplace(jnp.full(dim, 5.0), jnp.full(dim, log_scale))
    keys = jax.random.split(jax.random.key(0), count)
    values, log_probs = jax.vmap(dist.sample_and_log_prob)(keys)
    expected = -dim * (1 + log_scale + np.log(2))
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(np.asarray(log_probs, np.float64).mean() - expected) < 5 * np.sqrt(dim / count)
    np.testing.assert_array_equal(values, jax.vmap(dist.sample)(keys))


def test_bfloat16_parameters_give_float32_densities():
    dist = Laplace(jnp.asarray([0.5, 2.0], jnp.bfloat16), jnp.asarray([0.25, -1.0], jnp.bfloat16))  # exact in bfloat16
    exact = Laplace(jnp.asarray([0.5, 2.0]), jnp.asarray([0.25, -1.0]))
    x = jnp.asarray([0.1, 0.2])
    assert dist.log_prob(x).dtype == jnp.float32
    assert dist.log_prob(x) == exact.log_prob(x)
    np.testing.assert_array_equal(dist.sample(jax.random.key(0)), exact.sample(jax.random.key(0)))


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: laplace_log_prob(a, a, b),
        lambda a, b: laplace_log_prob(b, a, a),
        lambda a, b: laplace_kl(a, a, b, b),
        lambda a, b: Laplace(a, a).log_prob(b),
    ],
)
@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(function, other):
    with pytest.raises(AssertionError, match="shape"):
        function(jnp.zeros(3), jnp.zeros(other))
