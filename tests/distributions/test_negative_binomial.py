import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from distributions.count_references import assert_close, negative_binomial
from vae_jax.distributions import NegativeBinomial, negative_binomial_log_prob, poisson_log_prob

COUNTS = np.float32([0, 1, 2, 7, 8, 9, 1000, 10**6])
LOG_MEANS = np.float32(np.log(10.0 ** np.arange(-8, 7, 2)))
LOG_DISPERSIONS = np.float32([-30, -9, -2, 0, 1, 2, 3, 7, 14, 21, 30])
TERMS = jax.jit(lambda x, log_mean, log_dispersion: NegativeBinomial(log_mean, log_dispersion).log_prob_terms(x))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    log_mean, log_dispersion = rng.normal(size=(2, *shape)).astype(np.float32)
    x = rng.poisson(2, shape).astype(np.float32)
    m, r = np.exp(np.float64(log_mean)), np.exp(np.float64(log_dispersion))
    expected = scipy.stats.nbinom.logpmf(x, r, r / (r + m)).sum()
    np.testing.assert_allclose(negative_binomial_log_prob(x, log_mean, log_dispersion), expected, rtol=1e-5)
    np.testing.assert_allclose(negative_binomial(x, log_mean, log_dispersion).sum(), expected, rtol=1e-9)


def test_log_prob_is_exact_to_a_thousandth_nat_up_to_a_million_counts():
    # Every count with all parameters, and counts within six standard deviations of their mean.
    x, log_mean, log_dispersion = np.meshgrid(COUNTS, LOG_MEANS, LOG_DISPERSIONS, indexing="ij")
    mean, r = np.exp(np.float64(log_mean)), np.exp(np.float64(log_dispersion))
    steps = np.linspace(-6, 6, len(COUNTS))[:, None, None]
    near = np.clip(np.round(mean + steps * np.sqrt(mean + mean**2 / r)), 0, 2e6).astype(np.float32)
    x, log_mean, log_dispersion = (
        np.concatenate([a.ravel(), b.ravel()]) for a, b in ((x, near), (log_mean,) * 2, (log_dispersion,) * 2)
    )
    assert_close(TERMS(x, log_mean, log_dispersion), negative_binomial(x, log_mean, log_dispersion))


def test_gradients_are_exact_and_finite_at_log_parameters_of_30():
    x, log_mean, log_dispersion = (
        a.ravel() for a in np.meshgrid(COUNTS, np.float32([-30, -3, 0, 5, 30]), LOG_DISPERSIONS)
    )
    gradients = jax.jit(jax.grad(lambda m, r: TERMS(x, m, r).sum(), argnums=(0, 1)))(log_mean, log_dispersion)
    assert np.isfinite(gradients).all()
    m, r = np.exp(np.float64(log_mean)), np.exp(np.float64(log_dispersion))
    np.testing.assert_allclose(gradients[0], (x - m) * r / (r + m), rtol=1e-5, atol=1e-4)
    # The difference of the digamma functions in float64 has no digits at r above 10^7.
    digammas = scipy.special.digamma(x + r) - scipy.special.digamma(r)
    expected = r * (digammas - np.log1p(m / r) + (m - x) / (r + m))
    small = r < 1e7
    np.testing.assert_allclose(gradients[1][small], expected[small], rtol=1e-4, atol=1e-4)


def test_large_dispersions_give_the_poisson_distribution():
    x, log_rate = np.float32([0, 1, 5, 100]), np.float32([-3, 1, 2, 4])
    actual = negative_binomial_log_prob(x, log_rate, np.full(4, 30, np.float32))
    np.testing.assert_allclose(actual, poisson_log_prob(x, log_rate), rtol=1e-6)


def test_numbers_that_are_not_counts_have_probability_0():
    for x in (-1.0, 0.5, np.inf, np.nan):
        assert negative_binomial_log_prob(np.float32(x), np.float32(0), np.float32(0)) == -np.inf


def test_half_of_the_draws_is_0_at_a_small_dispersion():
    # P(0) = (1 + m / r)^-r. Five standard errors: fails once in 1.7 million seeds.
    m, r = 1e4, 0.08
    draws = np.asarray(
        NegativeBinomial(jnp.full(20_000, np.log(m)), jnp.full(20_000, np.log(r))).sample(jax.random.key(0))
    )
    p = (1 + m / r) ** -r
    assert 0.3 < p < 0.5
    assert abs((draws == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        negative_binomial_log_prob(np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(other, np.float32))
