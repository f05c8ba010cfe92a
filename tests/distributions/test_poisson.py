import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from distributions.count_references import assert_close, poisson
from vae_jax.distributions import Poisson, poisson_log_prob

COUNTS = np.float32([0, 1, 2, 7, 8, 9, 100, 1000, 10**5, 10**6])
LOG_RATES = np.float32(np.log(10.0 ** np.arange(-8, 7)))
TERMS = jax.jit(lambda x, log_rate: Poisson(log_rate).log_prob_terms(x))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    log_rate = rng.normal(size=shape).astype(np.float32)
    x = np.float32(rng.poisson(np.exp(log_rate), shape))
    expected = scipy.stats.poisson.logpmf(x, np.exp(np.float64(log_rate))).sum()
    np.testing.assert_allclose(poisson_log_prob(x, log_rate), expected, rtol=1e-5)


def test_log_prob_is_exact_to_a_thousandth_nat_up_to_a_million_counts():
    # Every count with every rate, and counts within six standard deviations of their rate.
    x, log_rate = (a.ravel() for a in np.meshgrid(COUNTS, LOG_RATES))
    rate = np.exp(np.float64(LOG_RATES))[:, None]
    near = np.maximum(np.round(rate + np.linspace(-6, 6, 49) * np.sqrt(rate)), 0).astype(np.float32)
    x = np.concatenate([x, near.ravel()])
    log_rate = np.concatenate([log_rate, np.broadcast_to(LOG_RATES[:, None], near.shape).ravel()])
    assert_close(TERMS(x, log_rate), poisson(x, log_rate))


def test_gradient_is_the_count_less_the_rate_and_finite_at_log_rates_of_30():
    x, log_rate = (a.ravel() for a in np.meshgrid(COUNTS, np.float32([-30, -3, 0, 5, 30])))
    gradient = jax.jit(jax.grad(lambda log_rate: TERMS(x, log_rate).sum()))(log_rate)
    np.testing.assert_allclose(gradient, x - np.exp(np.float64(log_rate)), rtol=1e-6, atol=1e-6)
    second = jax.grad(jax.grad(lambda log_rate: Poisson(log_rate).log_prob(jnp.float32(4))))(jnp.float32(1.5))
    np.testing.assert_allclose(second, -np.exp(1.5), rtol=1e-6)


def test_numbers_that_are_not_counts_have_probability_0():
    for x in (-1.0, 0.5, np.inf, np.nan):
        assert poisson_log_prob(np.float32(x), np.float32(0)) == -np.inf


def test_draws_at_large_rates_have_the_mean_and_the_variance_of_the_rate():
    # 4e9 is above int32. Five standard errors: each of the four comparisons fails once in 1.7 million seeds.
    for rate in (3e4, 4e9):
        draws = np.float64(Poisson(jnp.full(4000, np.log(rate))).sample(jax.random.key(0)))
        assert (draws == np.round(draws)).all()
        assert abs(draws.mean() / rate - 1) < 5 / np.sqrt(rate * 4000) + 2e-6  # log(rate) is rounded to 1e-6
        assert abs(draws.var() / rate - 1) < 5 * np.sqrt(2 / 4000)


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        poisson_log_prob(np.zeros(3, np.float32), np.zeros(other, np.float32))
