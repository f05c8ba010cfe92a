"""MIWAE and CIWAE against the bounds they combine, and PIWAE against the two bounds whose gradients it uses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from objectives.linear_gaussian import draws, elbo_value, examples, linear_gaussian, separated, wrong_params
from vae_jax.objectives import (
    ciwae_from_log_weights,
    iwae,
    log_weights,
    miwae_from_log_weights,
    negative_ciwae,
    negative_iwae,
    negative_miwae,
    negative_piwae,
)

MODEL, PARAMS, XS, KEY = linear_gaussian(), wrong_params(), examples(3), jax.random.key(0)
SEPARATED, BOTH = separated(MODEL), {"inference": PARAMS, "generation": PARAMS}


def miwae(key, num_bounds, num_samples):
    return miwae_from_log_weights(log_weights(MODEL, PARAMS, key, XS[0], num_bounds * num_samples), num_bounds)


def ciwae(num_samples, beta):
    return ciwae_from_log_weights(log_weights(MODEL, PARAMS, KEY, XS[0], num_samples), beta)


def test_it_is_the_mean_of_numpys_bounds_of_consecutive_samples():
    key = jax.random.key(0)
    weights, value = jax.jit(lambda: (log_weights(MODEL, PARAMS, key, XS[0], 12), miwae(key, 3, 4)))()
    weights = np.asarray(weights, np.float64)
    expected = np.mean(scipy.special.logsumexp(weights.reshape(3, 4), axis=1) - np.log(4))
    np.testing.assert_allclose(miwae_from_log_weights(weights.astype(np.float32), 3), expected, rtol=1e-6)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_of_the_same_samples_more_and_smaller_bounds_are_looser_for_every_key():
    # Jensen's inequality, and so with no failure rate: ELBO = MIWAE(12, 1) < MIWAE(4, 3) < MIWAE(1, 12) = IWAE.
    *bounds, tightest = draws(
        lambda key: (
            *(miwae(key, m, 12 // m) for m in (12, 4, 1)),
            iwae(MODEL, PARAMS, key, XS[0], 12),
        ),
        200,
    )
    assert (bounds[0] < bounds[1] + 1e-5).all() and (bounds[1] < bounds[2] + 1e-5).all()
    assert bounds[1].mean() - bounds[0].mean() > 0.05 and bounds[2].mean() - bounds[1].mean() > 0.05
    np.testing.assert_allclose(bounds[2], tightest, rtol=1e-6)
    error = bounds[0].std() / np.sqrt(200)
    assert abs(bounds[0].mean() - elbo_value(PARAMS, XS[0].astype(np.float64))) < 5 * error


@jax.jit
def evaluate():
    objectives = {
        "tight": negative_iwae(12),
        "loose": negative_miwae(4, 3),
        "partial": negative_piwae(4, 3),
        "one bound": negative_piwae(1, 12),
    }
    key = jax.random.key(1)
    return {
        name: jax.value_and_grad(lambda p, o=o: o(SEPARATED, p, key, XS), has_aux=True)(BOTH)
        for name, o in objectives.items()
    }


@pytest.mark.slow
def test_piwae_trains_generation_by_the_iwae_and_inference_by_the_miwae_of_the_same_samples():
    results = evaluate()
    ((loss, aux), gradient), (tight, tight_gradient), (loose, loose_gradient) = (
        results[name] for name in ("partial", "tight", "loose")
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, gradient["generation"], tight_gradient["generation"])
    jax.tree.map(close, gradient["inference"], loose_gradient["inference"])
    for part in ("generation", "inference"):  # the gradients of the two bounds differ, so that the test has power
        assert np.abs(tight_gradient[part]["offset"] - loose_gradient[part]["offset"]).max() > 0.01
    np.testing.assert_allclose(loss, tight[0], rtol=1e-6)
    np.testing.assert_allclose(aux.metrics.pop("miwae"), loose[1].metrics["miwae"], rtol=1e-6)
    jax.tree.map(close, aux.metrics, tight[1].metrics)
    jax.tree.map(close, results["one bound"][1], tight_gradient)


@pytest.mark.parametrize("numbers", [(0, 3), (3, 0), (-1, 1)])
def test_numbers_below_1_are_refused_by_name(numbers):
    name, value = next((n, v) for n, v in zip(("num_bounds", "num_samples"), numbers, strict=True) if v < 1)
    for call in (lambda: negative_miwae(*numbers), lambda: negative_piwae(*numbers)):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
            call()


@pytest.mark.parametrize("num_bounds", [0, -1])
def test_no_bounds_are_refused(num_bounds):
    with pytest.raises(ValueError, match=f"num_bounds must be at least 1, got {num_bounds}"):
        miwae_from_log_weights(np.zeros(6, np.float32), num_bounds)


def test_weights_that_do_not_divide_into_bounds_are_refused():
    with pytest.raises(ValueError, match="num_bounds must divide the number of log_weights, 5, got 2"):
        miwae_from_log_weights(np.zeros(5, np.float32), 2)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_it_is_numpys_combination_of_two_bounds_of_the_same_samples(beta):
    weights, value = jax.jit(lambda: (log_weights(MODEL, PARAMS, KEY, XS[0], 6), ciwae(6, beta)))()
    weights = np.asarray(weights, np.float64)
    bound = scipy.special.logsumexp(weights) - np.log(6)
    assert bound > weights.mean() + 0.05
    expected = beta * weights.mean() + (1 - beta) * bound
    np.testing.assert_allclose(ciwae_from_log_weights(weights.astype(np.float32), beta), expected, rtol=1e-6)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.slow
def test_loss_and_gradient_are_the_combination_of_the_two_objectives_of_the_same_samples():
    gradient = lambda o: jax.value_and_grad(lambda p: o(MODEL, p, KEY, XS)[0])(PARAMS)
    objectives = [*(negative_ciwae(5, beta) for beta in (0.0, 0.3, 1.0)), negative_iwae(5)]
    *results, usual = jax.jit(lambda: [gradient(objective) for objective in objectives])()
    combined = jax.tree.map(lambda a, b: 0.7 * a + 0.3 * b, results[0], results[2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results[1], combined)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results[0], usual)
    assert np.abs(results[2][1]["encoder"] - results[0][1]["encoder"]).max() > 0.01


def test_the_elbo_end_is_the_metric_elbo_and_beta_may_be_traced():
    loss, aux = jax.jit(lambda b: negative_ciwae(5, b)(MODEL, PARAMS, KEY, XS))(jnp.asarray(1.0))
    np.testing.assert_allclose(loss, -aux.metrics["elbo"], rtol=1e-6)
    np.testing.assert_allclose(aux.metrics["ciwae"], aux.metrics["elbo"], rtol=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 1.5, float("nan")])
def test_a_beta_outside_its_interval_is_refused(beta):
    for call in (lambda: negative_ciwae(3, beta), lambda: ciwae(3, beta)):
        with pytest.raises(ValueError, match=f"beta must be between 0 and 1, got {beta}"):
            call()


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        negative_ciwae(0, 0.5)


@pytest.mark.parametrize(
    ("weights", "beta", "expected"),
    [([0.0, -np.inf], 0.0, -np.log(2.0)), ([0.0, -np.inf], 0.5, -np.inf), ([-np.inf, -np.inf], 1.0, -np.inf)],
)
def test_a_weight_of_zero_is_no_nan(weights, beta, expected):
    for value in (beta, jnp.asarray(beta)):
        np.testing.assert_allclose(ciwae_from_log_weights(np.array(weights, np.float32), value), expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_derivative_with_respect_to_beta_is_one_bound_less_the_other_at_its_ends_too(beta):
    weights = np.array([0.0, 1.0], np.float32)
    derivative = jax.grad(lambda b: ciwae_from_log_weights(weights, b))(beta)
    np.testing.assert_allclose(derivative, 0.5 - (scipy.special.logsumexp(weights) - np.log(2)), rtol=1e-5)
