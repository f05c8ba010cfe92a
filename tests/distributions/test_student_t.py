import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.distributions import StudentT, normal_log_prob, student_t_log_prob

OF_ONE = lambda x, log_degrees: student_t_log_prob(x, jnp.zeros(()), jnp.zeros(()), log_degrees)
WITH_GRADIENT = jax.jit(jax.vmap(jax.value_and_grad(OF_ONE, argnums=1)))
TERMS = jax.jit(lambda log_excess, x: StudentT(0 * x, 0 * x, log_excess).log_prob_terms(x))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2, 3)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    x, location, log_scale, log_excess = rng.normal(size=(4, *shape)).astype(np.float32)
    excess, scale = np.exp(np.float64(log_excess)), np.exp(np.float64(log_scale))
    expected = scipy.stats.t.logpdf(x, 2 + excess, location, scale).sum()
    dist = StudentT(location, log_scale, log_excess)
    np.testing.assert_allclose(dist.log_prob(x), expected, rtol=1e-5)
    np.testing.assert_allclose(student_t_log_prob(x, location, log_scale, np.log(2 + excess)), expected, rtol=1e-5)
    np.testing.assert_allclose(dist.standard_deviation, scipy.stats.t.std(2 + excess, location, scale), rtol=1e-5)


@pytest.mark.parametrize("degrees", [1e-6, 0.3, 1.0, 3.0, 15.9, 16.1, 100.0, 1e4, 1e8, 1e12])
def test_log_prob_and_its_gradient_agree_with_float64_at_all_degrees(degrees):
    # Differences of gammaln in float64 lose their digits at 10^8 degrees of freedom; the Normal density is exact there.
    t = np.array([0.0, 1e-3, -0.7, 3.0, 40.0, -1e6])
    log_degrees = np.full(6, np.log(degrees), np.float32)
    reference = lambda nu: scipy.stats.norm.logpdf(t) if degrees > 1e7 else scipy.stats.t.logpdf(t, nu)
    with np.errstate(all="ignore"):
        expected = reference(np.exp(np.float64(log_degrees)))
    near = np.abs(t) < 10 if degrees > 1e7 else np.full(6, True)
    values, gradient = WITH_GRADIENT(t.astype(np.float32), log_degrees)
    np.testing.assert_allclose(values[near], expected[near], rtol=2e-5, atol=2e-5)
    if degrees > 2.1:
        log_excess = np.log(np.exp(np.float64(log_degrees)) - 2).astype(np.float32)
        values = TERMS(log_excess, t.astype(np.float32))
        np.testing.assert_allclose(values[near], expected[near], rtol=2e-5, atol=2e-5)
    if degrees < 1e4:
        step = 1e-4
        slope = (reference(degrees * np.exp(step)) - reference(degrees * np.exp(-step))) / (2 * step)
        np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-4)


def test_many_degrees_give_the_normal_density():
    x = np.float32([0.3, -1.0, 2.0])
    actual = StudentT(np.zeros(3), np.full(3, -1.0), np.full(3, 30.0)).log_prob(x)
    np.testing.assert_allclose(actual, normal_log_prob(x, np.zeros(3), np.full(3, -2.0)), rtol=1e-6)


def test_a_distant_outlier_has_a_finite_density_and_gradient():
    # The square of the standardized value, (10^4 e^40)^2, is above the largest float32.
    density = lambda x: student_t_log_prob(x, jnp.zeros(1), jnp.full(1, -40.0), jnp.log(jnp.full(1, 3.0)))
    value, gradient = jax.value_and_grad(density)(jnp.full(1, 1e4))
    expected = scipy.stats.t.logpdf(1e4, 3, 0, np.exp(-40.0))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, [-4 / 1e4], rtol=1e-5)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        student_t_log_prob(*[np.zeros(3, np.float32)] * 3, np.zeros(other, np.float32))
