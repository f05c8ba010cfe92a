"""Tests of the known model of counts and of the Normal that is integrated over an interval around each count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments.lib.count_model import DISPERSION, LIKELIHOODS, IntegratedNormal, draws_of, factor_model


def test_the_integrated_normal_is_that_of_scipy_with_finite_gradients():
    x = jnp.array([0.0, 0.0, 0.0, 1.0, 3.0, 40.0, 1000.0, 5.0])
    location = jnp.array([0.2, -3.0, 6.0, 1.3, 9.0, 38.0, 900.0, 5.0])
    log_variance = jnp.array([0.0, 1.0, 2.0, -3.0, 0.0, 4.0, 7.0, 14.0])
    terms = jax.jit(IntegratedNormal.log_prob_terms)(IntegratedNormal(location, log_variance), x)
    k, m, s = (np.asarray(array, np.float64) for array in (x, location, jnp.exp(0.5 * log_variance)))
    # In the tail of the smaller probabilities, as differences of survival functions on the right.
    low, high = np.where(k > 0, (k - 0.5 - m) / s, -np.inf), (k + 0.5 - m) / s
    cdf, sf = scipy.stats.norm.cdf, scipy.stats.norm.sf
    exact = np.log(np.where(low > 0, sf(low) - sf(high), cdf(high) - cdf(low)))
    np.testing.assert_allclose(terms, exact, atol=2e-4, rtol=1e-5)
    total = lambda location, log_variance: IntegratedNormal(location, log_variance).log_prob(x)
    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(location, log_variance):
        assert np.isfinite(gradient).all()
    # Probabilities of the counts sum to 1.
    counts = jnp.arange(60.0)
    sums = [np.exp(IntegratedNormal(jnp.full(60, at), jnp.full(60, 3.0)).log_prob_terms(counts)).sum() for at in (0, 9)]
    np.testing.assert_allclose(sums, 1.0, rtol=1e-5)
    draws = IntegratedNormal(jnp.full(20_000, 0.4), jnp.full(20_000, 1.0)).sample(jax.random.key(0))
    expected = scipy.stats.norm.cdf((0.5 - 0.4) / np.exp(0.5))
    assert abs(np.mean(draws == 0) - expected) < 5 * np.sqrt(expected / 20_000)


@pytest.mark.slow
def test_the_known_model_draws_negative_binomial_counts_and_the_normal_begins_at_their_means():
    model = factor_model(columns=3, factors=2)
    params = model.init(jax.random.key(0))
    z, x = jnp.array([0.5, -1.0]), jnp.array([0.0, 3.0, 11.0])
    means = np.exp(np.asarray(params["weights"] @ z + params["intercepts"], np.float64))
    exact = scipy.stats.nbinom.logpmf(x, DISPERSION, DISPERSION / (DISPERSION + means)).sum()
    np.testing.assert_allclose(model.decode(params, z).log_prob(x), exact, rtol=1e-5)
    # E x_j = exp(b_j + |w_j|^2 / 2), since z is standard Normal.
    rows = np.asarray(draws_of(model, params, jax.random.key(1), 20_000))
    expected = np.exp(params["intercepts"] + 0.5 * np.square(params["weights"]).sum(axis=1))
    np.testing.assert_array_less(np.abs(rows.mean(axis=0) - expected), 5 * rows.std(axis=0) / 20_000**0.5)
    assert np.array_equal(rows, np.round(rows)) and rows.min() == 0
    normal = LIKELIHOODS["integrated Normal"]
    np.testing.assert_allclose(normal.distribution(normal.initial_outputs(expected)).location, expected, rtol=1e-5)
