"""On the linear-Gaussian VAE, whose log p(x) is known."""

import jax
import numpy as np
import pytest
import scipy.special
from jax.test_util import check_grads

from objectives.linear_gaussian import (
    draws,
    elbo_value,
    exact_params,
    linear_gaussian,
    log_likelihood,
    standard_error,
    wrong_params,
)
from vae_jax.objectives import elbo, iwae, log_mean_exp, log_weight

MODEL = linear_gaussian()
X = np.array([1.0, -2.0, 0.5, 3.0], np.float32)


@pytest.mark.slow
def test_the_bounds_rise_with_the_samples_towards_log_p():
    params = wrong_params()
    bounds = [draws(lambda key: elbo(MODEL, params, key, X), 20_000)]
    for seed, num_samples in enumerate((5, 50), start=1):
        bounds.append(draws(lambda key, k=num_samples: iwae(MODEL, params, key, X, k), 10_000, seed))
    means = [b.mean() for b in bounds] + [log_likelihood(params, X)]
    errors = [standard_error(b) for b in bounds] + [0.0]
    for i in range(3):
        # Each step is beyond five standard errors of its difference: fails once in 3.5 million seeds.
        assert means[i + 1] - means[i] > 5 * np.hypot(errors[i], errors[i + 1])
    assert means[3] - means[2] < 0.1 * (means[3] - means[0])  # and 50 samples close most of the gap


@pytest.mark.slow
def test_with_the_exact_posterior_every_weight_is_p_of_x():
    params, exact = exact_params(), log_likelihood(exact_params(), X)
    np.testing.assert_allclose(draws(lambda key: log_weight(MODEL, params, key, X), 1000), exact, rtol=1e-5)
    for num_samples in (1, 2, 7):
        values = draws(lambda key, k=num_samples: iwae(MODEL, params, key, X, k), 100)
        np.testing.assert_allclose(values, np.full(100, exact), rtol=1e-5)


def test_weights_are_unbiased_for_p_of_x():
    params = wrong_params()
    weights = np.exp(draws(lambda key: log_weight(MODEL, params, key, X), 50_000))
    assert abs(weights.mean() - np.exp(log_likelihood(params, X))) < 5 * standard_error(weights)
    assert standard_error(weights) < 0.02 * weights.mean()


def test_one_sample_has_the_elbos_expectation():
    params = wrong_params()
    values = draws(lambda key: iwae(MODEL, params, key, X, 1), 20_000)
    assert abs(values.mean() - elbo_value(params, X.astype(np.float64))) < 5 * standard_error(values)


def test_iwae_is_numpys_log_mean_exp_of_its_weights():
    params, key = wrong_params(), jax.random.key(3)
    weights = np.asarray([log_weight(MODEL, params, k, X) for k in jax.random.split(key, 6)], np.float64)
    assert weights.std() > 0.05
    expected = scipy.special.logsumexp(weights) - np.log(6)
    np.testing.assert_allclose(iwae(MODEL, params, key, X, 6), expected, rtol=1e-6)


def test_given_its_key_iwae_is_a_function_with_a_right_gradient():
    check_grads(jax.jit(lambda p: iwae(MODEL, p, jax.random.key(2), X, 5)), (wrong_params(),), 1, ["rev"], 2e-2, 2e-2)


@pytest.mark.parametrize("shift", [0.0, -1e4, 1e4])
def test_log_mean_exp_neither_overflows_nor_underflows(shift):
    values = np.array([0.0, 1.0, -2.0], np.float32)
    expected = shift + np.log(np.exp(values.astype(np.float64)).mean())
    np.testing.assert_allclose(log_mean_exp(values + np.float32(shift)), expected, rtol=2e-7, atol=2e-7)
    gradient = jax.grad(log_mean_exp)(values + np.float32(shift))
    np.testing.assert_allclose(gradient, np.exp(values) / np.exp(values).sum(), rtol=1e-5)


def test_log_mean_exp_of_equal_values_is_the_value_and_a_batch_is_refused():
    np.testing.assert_allclose(log_mean_exp(np.full(1000, 3.0, np.float32)), 3.0, rtol=1e-6)
    with pytest.raises(AssertionError, match="rank"):
        log_mean_exp(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("num_samples", [0, -1])
def test_no_samples_are_refused(num_samples):
    with pytest.raises(ValueError, match=f"num_samples must be at least 1, got {num_samples}"):
        iwae(MODEL, exact_params(), jax.random.key(0), X, num_samples)
