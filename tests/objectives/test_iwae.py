"""IWAE bound on the linear-Gaussian VAE, whose log p(x) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.test_util import check_grads

from objectives.linear_gaussian import (
    draws,
    elbo_value,
    exact_params,
    examples,
    gradient_draws,
    linear_gaussian,
    log_likelihood,
    standard_error,
    wrong_params,
)
from vae_jax.objectives import (
    elbo,
    iwae,
    log_mean_exp,
    log_weight,
    log_weights,
    negative_bound,
    negative_iwae,
    negative_sampled_elbo,
    sampled_elbo,
    sampled_elbo_terms,
)

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
    for call in (
        lambda: iwae(MODEL, exact_params(), jax.random.key(0), X, num_samples),
        lambda: log_weights(MODEL, exact_params(), jax.random.key(0), X, num_samples),
        lambda: negative_iwae(num_samples),
    ):
        with pytest.raises(ValueError, match=f"num_samples must be at least 1, got {num_samples}"):
            call()


@pytest.mark.slow
def test_with_one_sample_bound_and_objective_are_the_sampled_elbos():
    params, key = wrong_params(), jax.random.key(4)
    (only,) = jax.random.split(key, 1)
    bounds = jax.jit(lambda: (iwae(MODEL, params, key, X, 1), sampled_elbo(MODEL, params, only, X)))()
    np.testing.assert_allclose(bounds[0], bounds[1], rtol=1e-6)
    one, usual = (gradient_draws(o, MODEL, params, X[None], 20_000) for o in (negative_iwae(1), negative_sampled_elbo))
    error = np.hypot(standard_error(one), standard_error(usual))
    # Five standard errors in each of 23 numbers: fails once in 75,000 seeds.
    assert (np.abs(one.mean(axis=0) - usual.mean(axis=0)) < 5 * error + 1e-5).all()
    assert np.abs(usual.mean(axis=0)).max() > 20 * error.max()


def test_the_loss_is_minus_the_mean_bound_and_the_metrics_are_means_over_its_samples():
    params, xs, key = wrong_params(), examples(3), jax.random.key(5)
    sample_keys = jax.vmap(lambda k: jax.random.split(k, 4))(jax.random.split(key, 3))

    def by_hand(function):
        return jax.vmap(jax.vmap(lambda k, x: function(MODEL, params, k, x), (0, None)))(sample_keys, xs)

    (loss, aux), weights, terms = jax.jit(
        lambda: (negative_iwae(4)(MODEL, params, key, xs), by_hand(log_weight), by_hand(sampled_elbo_terms))
    )()
    weights = np.asarray(weights, np.float64)
    assert weights.shape == (3, 4)
    bound = (scipy.special.logsumexp(weights, axis=1) - np.log(4)).mean()
    expected = {
        "iwae": bound,
        "elbo": weights.mean(),
        "rate": np.mean(terms.kl),
        "distortion": -np.mean(terms.log_likelihood),
    }
    assert bound > weights.mean() + 0.05
    np.testing.assert_allclose(loss, -bound, rtol=1e-6)
    assert aux.metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(aux.metrics[name], value, rtol=1e-5)


def test_any_function_of_the_log_weights_is_a_bound_of_its_own_name():
    key = jax.random.key(6)
    (example_key,) = jax.random.split(key, 1)
    (loss, aux), weights = jax.jit(
        lambda: (
            negative_bound("least", jnp.min, 3)(MODEL, wrong_params(), key, X[None]),
            log_weights(MODEL, wrong_params(), example_key, X, 3),
        )
    )()
    assert np.ptp(weights) > 0.05
    np.testing.assert_allclose([-loss, aux.metrics["least"]], np.full(2, weights.min()), rtol=1e-6)
    np.testing.assert_allclose(aux.metrics["elbo"], weights.mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        negative_bound("least", jnp.min, 0)


@pytest.mark.parametrize("num_samples", [2.5, 30.0, "3"])
def test_a_number_of_samples_that_is_no_whole_number_is_refused(num_samples):
    for call in (
        lambda: negative_iwae(num_samples),
        lambda: iwae(MODEL, exact_params(), jax.random.key(0), X, num_samples),
    ):
        with pytest.raises(TypeError, match=f"num_samples must be a whole number, got {num_samples!r}"):
            call()
