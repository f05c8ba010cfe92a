"""The variational Renyi bound, on log-weights in numpy float64 and on the linear-Gaussian VAE by quadrature."""

import itertools

import jax
import numpy as np
import pytest
import scipy.stats
from jax.test_util import check_grads

from objectives.linear_gaussian import (
    NUM_PIXELS,
    draws,
    elbo_value,
    examples,
    float64,
    linear_gaussian,
    log_likelihood,
    standard_error,
    wrong_params,
)
from vae_jax.objectives import iwae, log_mean_exp, log_weights, negative_renyi, renyi_from_log_weights

MODEL, PARAMS, X = linear_gaussian(), wrong_params(), examples(1)[0]
ALPHAS = (-2.0, -0.5, 0.0, 0.5, 0.999, 1.0, 1.001, 2.0, 10.0)
LOG_WEIGHTS = np.array([-101.5, -98.0, -100.25, -99.0, -103.0], np.float32)


def renyi(params, key, num_samples, alpha):
    return renyi_from_log_weights(log_weights(MODEL, params, key, X, num_samples), alpha)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_it_is_numpys_power_mean_in_float64(alpha):
    weights = np.exp(LOG_WEIGHTS.astype(np.float64) + 100)
    mean = scipy.stats.gmean(weights) if alpha == 1 else np.mean(weights ** (1 - alpha)) ** (1 / (1 - alpha))
    np.testing.assert_allclose(renyi_from_log_weights(LOG_WEIGHTS, alpha), np.log(mean) - 100, rtol=2e-7)


@pytest.mark.parametrize("alpha", [1 - 1e-6, 1 + 1e-6])
def test_next_to_1_it_is_the_mean_of_the_log_weights(alpha):
    # The textbook form, a logarithm divided by 1e-6, has no digit left here.
    np.testing.assert_allclose(renyi_from_log_weights(LOG_WEIGHTS, alpha), LOG_WEIGHTS.mean(), atol=2e-5)
    gradient = jax.grad(renyi_from_log_weights)(LOG_WEIGHTS, alpha)
    np.testing.assert_allclose(gradient, np.full(5, 0.2), rtol=1e-4)


def test_at_0_it_is_the_iwae_bound():
    np.testing.assert_allclose(renyi_from_log_weights(LOG_WEIGHTS, 0.0), log_mean_exp(LOG_WEIGHTS), rtol=2e-7)
    key = jax.random.key(0)
    np.testing.assert_allclose(renyi(PARAMS, key, 6, 0.0), iwae(MODEL, PARAMS, key, X, 6), rtol=1e-6)


def test_of_the_same_samples_it_falls_as_alpha_rises_for_every_key():
    # The inequality of power means, and so with no failure rate.
    values = draws(lambda key: tuple(renyi(PARAMS, key, 5, alpha) for alpha in ALPHAS), 500)
    for higher, lower in itertools.pairwise(values):
        assert (higher > lower - 3e-6 * np.abs(lower)).all()
    assert values[0].mean() > values[-1].mean() + 1.0


@pytest.mark.parametrize("alpha", [pytest.param(-0.5, marks=pytest.mark.slow), 0.5])
def test_its_power_has_the_expectation_that_quadrature_gives(alpha):
    p, x = float64(PARAMS), X.astype(np.float64)
    mean, deviation = p["encoder"] @ (x - p["offset"]), np.exp(0.5 * p["log_variance"])
    # Gauss-Hermite nodes in both dimensions of z ~ q(z | x), and the densities by scipy.
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)
    z = mean + deviation * np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    quadrature = np.outer(node_weights, node_weights).ravel() / (2 * np.pi)
    noise = np.exp(0.5 * p["noise_log_variance"])
    log_weight = (
        scipy.stats.norm.logpdf(x, z @ p["weights"].T + p["offset"], noise * np.ones(NUM_PIXELS)).sum(axis=1)
        + scipy.stats.norm.logpdf(z).sum(axis=1)
        - scipy.stats.norm.logpdf(z, mean, deviation).sum(axis=1)
    )
    np.testing.assert_allclose(quadrature @ log_weight, elbo_value(PARAMS, x), rtol=1e-6)
    np.testing.assert_allclose(np.log(quadrature @ np.exp(log_weight)), log_likelihood(PARAMS, X), rtol=1e-6)
    expected = np.log(quadrature @ np.exp((1 - alpha) * log_weight)) / (1 - alpha)
    # exp((1 - alpha) renyi) is a mean of powers of weights: unbiased, so that its own logarithm is the exact bound.
    bounds = draws(lambda key: renyi(PARAMS, key, 5, alpha), 20_000)
    powers = np.exp((1 - alpha) * (bounds - expected))
    assert abs(powers.mean() - 1) < 5 * standard_error(powers)  # fails once in 1.7 million seeds
    assert standard_error(powers) < 0.01
    # The bound lies on the same side of log p(x) as the exact bound.
    assert (expected < log_likelihood(PARAMS, X)) == (alpha > 0)


@pytest.mark.parametrize("alpha", [0.5, *(pytest.param(alpha, marks=pytest.mark.slow) for alpha in (-1.0, 3.0))])
def test_given_its_key_it_is_a_function_with_a_right_gradient(alpha):
    function = jax.jit(lambda p: renyi(p, jax.random.key(2), 5, alpha))
    check_grads(function, (PARAMS,), 1, ["rev"], 2e-2, 2e-2)


@pytest.mark.parametrize("spread", [1e3, 1e30])
@pytest.mark.parametrize("alpha", [-3.0, 0.5, 1.0, 4.0])
def test_log_weights_far_apart_give_a_finite_value_and_gradient(spread, alpha):
    value, gradient = jax.value_and_grad(renyi_from_log_weights)(spread * LOG_WEIGHTS / 100, alpha)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), float("-inf")])
def test_an_alpha_that_is_not_finite_is_refused(alpha):
    for call in (lambda: negative_renyi(3, alpha), lambda: renyi_from_log_weights(LOG_WEIGHTS, alpha)):
        with pytest.raises(ValueError, match=f"alpha must be a finite number, got {alpha}"):
            call()


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        negative_renyi(0, 0.5)


@pytest.mark.parametrize(("alpha", "expected"), [(2.0, -np.inf), (0.5, -2 * np.log(2.0)), (0.0, -np.log(2.0))])
def test_a_weight_of_zero_is_no_nan(alpha, expected):
    # 1 / (1 - alpha) log((1 + 0^(1 - alpha)) / 2).
    np.testing.assert_allclose(renyi_from_log_weights(np.array([0.0, -np.inf], np.float32), alpha), expected, rtol=1e-6)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 0.99, 0.9999, 2.0])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_a_hundred_thousand_weights_keep_their_digits(alpha, spread):
    weights = np.random.default_rng(0).normal(-90, spread, 100_000).astype(np.float32)
    powers = (1 - alpha) * weights.astype(np.float64)
    expected = (scipy.special.logsumexp(powers) - np.log(len(weights))) / (1 - alpha)
    np.testing.assert_allclose(renyi_from_log_weights(weights, alpha), expected, rtol=0, atol=1e-4)
