import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from objectives.linear_gaussian import examples, linear_gaussian, wrong_params
from vae_jax.objectives import ciwae, ciwae_from_log_weights, log_weights, negative_ciwae, negative_iwae

MODEL, PARAMS, XS, KEY = linear_gaussian(), wrong_params(), examples(3), jax.random.key(0)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_it_is_numpys_combination_of_two_bounds_of_the_same_samples(beta):
    weights, value = jax.jit(
        lambda: (log_weights(MODEL, PARAMS, KEY, XS[0], 6), ciwae(MODEL, PARAMS, KEY, XS[0], 6, beta))
    )()
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
    for call in (lambda: negative_ciwae(3, beta), lambda: ciwae(MODEL, PARAMS, KEY, XS[0], 3, beta)):
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
