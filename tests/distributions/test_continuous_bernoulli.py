"""Tests against Gauss-Legendre quadrature of exp(x l) on [0, 1] in numpy float64, independent of the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import ContinuousBernoulli, continuous_bernoulli_log_prob

# 400 nodes integrate exp(200 x) on [0, 1] to float64's precision.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)
NODES, WEIGHTS = 0.5 * (NODES + 1), 0.5 * WEIGHTS

MAGNITUDES = [0.0, 1e-6, 1e-3, 0.1, 0.5, 0.999, 1.0, 1.001, 2.0, 10.0, 50.0, 200.0]
LOGITS = np.array(sorted({s * m for s in (-1.0, 1.0) for m in MAGNITUDES}), np.float32)


def quadrature(logit):
    """Logarithm of the integral of exp(x l), and the mean of x under its density, shifted against overflow."""
    logit = np.float64(logit)
    shift = max(logit, 0.0)
    density = WEIGHTS * np.exp(NODES * logit - shift)
    return np.log(density.sum()) + shift, (density * NODES).sum() / density.sum()


def test_mean_agrees_with_quadrature_at_all_logits():
    expected = [quadrature(logit)[1] for logit in LOGITS]
    np.testing.assert_allclose(ContinuousBernoulli(LOGITS).mean, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("x", [0.0, 0.2, 0.5, 1.0])
def test_log_prob_agrees_with_quadrature_at_all_logits(x):
    x = np.float32(x)
    actual = jax.vmap(continuous_bernoulli_log_prob)(np.full_like(LOGITS, x), LOGITS)
    expected = [np.float64(x) * np.float64(logit) - quadrature(logit)[0] for logit in LOGITS]
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.slow
def test_at_lambda_one_half_the_distribution_is_exactly_uniform():
    dist = ContinuousBernoulli(jnp.zeros(3))
    x = jnp.asarray([0.0, 0.3, 1.0])
    assert dist.log_prob(x) == 0
    np.testing.assert_array_equal(dist.mean, np.full(3, 0.5))
    keys = jax.random.split(jax.random.key(0), 1000)
    # The gradient in the logits is exactly x - 1/2, and their curvature is -1/12, minus the variance of the uniform.
    np.testing.assert_allclose(
        jax.grad(lambda logits: continuous_bernoulli_log_prob(x, logits))(dist.logits), x - 0.5, atol=1e-7
    )
    curvature = jax.grad(jax.grad(lambda logit: continuous_bernoulli_log_prob(0.3, logit)))(0.0)
    np.testing.assert_allclose(curvature, -1 / 12, rtol=1e-6)
    draws = np.asarray(jax.vmap(ContinuousBernoulli(jnp.zeros(1)).sample)(keys))
    assert 0 <= draws.min() < 0.01
    assert 0.99 < draws.max() <= 1


def test_the_gradient_of_log_prob_is_x_minus_the_mean():
    expected = [0.25 - quadrature(logit)[1] for logit in LOGITS]
    log_prob = lambda logits: continuous_bernoulli_log_prob(np.full_like(LOGITS, 0.25), logits)
    gradient = jax.jit(jax.grad(log_prob))(LOGITS)
    np.testing.assert_allclose(gradient, expected, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("logit", [-200.0, -3.0, -1e-4, 1e-4, 3.0, 200.0])
def test_draws_have_the_mean_and_variance_of_quadrature(logit):
    _, mean = quadrature(logit)
    density = WEIGHTS * np.exp(NODES * logit - max(logit, 0.0))
    variance = (density * (NODES - mean) ** 2).sum() / density.sum()
    dist = ContinuousBernoulli(jnp.full(1, logit))
    draws = np.asarray(jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(3), 50_000)), np.float64)
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(draws.mean() - mean) < 5 * np.sqrt(variance / draws.size)
    np.testing.assert_allclose(draws.var(), variance, rtol=0.06)
    assert draws.min() >= 0
    assert draws.max() <= 1


@pytest.mark.parametrize("logit", [-5.0, -0.5, 0.5, 5.0])
def test_the_sample_is_the_inverse_distribution_function_with_its_gradient(logit):
    # For fixed F(x; l) = u, dx/dl = -(dF/dl) / (dF/dx), by float64 differences of F(x) = expm1(l x) / expm1(l).
    key = jax.random.key(4)
    sample = lambda logit: ContinuousBernoulli(logit).sample(key)
    x, slope = jax.value_and_grad(sample)(jnp.asarray(logit))
    cdf = lambda x, l: np.expm1(l * x) / np.expm1(l)
    x, h = np.float64(x), 1e-5
    to_logit = (cdf(x, logit + h) - cdf(x, logit - h)) / (2 * h)
    to_x = (cdf(x + h, logit) - cdf(x - h, logit)) / (2 * h)
    np.testing.assert_allclose(slope, -to_logit / to_x, rtol=1e-4)


def test_bfloat16_logits_give_float32_densities():
    dist = ContinuousBernoulli(jnp.asarray([0.5, -3.0], jnp.bfloat16))  # exact in bfloat16
    exact = ContinuousBernoulli(jnp.asarray([0.5, -3.0]))
    x = jnp.asarray([0.1, 0.9])
    assert dist.log_prob(x).dtype == jnp.float32
    assert dist.log_prob(x) == exact.log_prob(x)
    np.testing.assert_array_equal(dist.mean, exact.mean)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        continuous_bernoulli_log_prob(jnp.zeros(3), jnp.zeros(other))
