"""ELBO of the linear-Gaussian VAE, whose log p(x), ELBO and gradients are known in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from objectives.linear_gaussian import (
    draws,
    elbo_parts,
    elbo_value,
    exact_params,
    examples,
    linear_gaussian,
    log_likelihood,
    standard_error,
    wrong_params,
)
from vae_jax.distributions import Delta
from vae_jax.models import encode
from vae_jax.objectives import (
    distortion,
    elbo,
    elbo_from_terms,
    elbo_terms,
    iwae,
    negative_elbo,
    negative_sampled_elbo,
    sampled_elbo,
    sampled_elbo_terms,
)

iwae_of_2 = partial(iwae, num_samples=2)
MODEL = linear_gaussian()
X = np.array([1.0, -2.0, 0.5, 3.0], np.float32)


def test_the_references_agree_with_each_other():
    # The ELBO's closed form with the exact posterior is scipy's log p(x): two derivations of the same number.
    for x in examples(5):
        np.testing.assert_allclose(elbo_value(exact_params(), x), log_likelihood(exact_params(), x), rtol=1e-5)
        assert elbo_value(wrong_params(), x) < log_likelihood(wrong_params(), x) - 0.1


def test_closed_form_and_sampled_elbo_have_the_analytic_mean():
    params = wrong_params()
    expected_log_likelihood, kl = elbo_parts(params, X.astype(np.float64))
    for terms_of in (elbo_terms, sampled_elbo_terms):
        terms = draws(lambda key, f=terms_of: f(MODEL, params, key, X), 20_000)
        # Five standard errors (and rounding, where nothing is random): fails once in 1.7 million seeds.
        for actual, expected in ((terms.log_likelihood, expected_log_likelihood), (terms.kl, kl)):
            assert abs(actual.mean() - expected) < 5 * standard_error(actual) + 2e-6 * abs(expected)
    for function in (elbo, sampled_elbo):
        values = draws(lambda key, f=function: f(MODEL, params, key, X), 20_000, seed=1)
        assert abs(values.mean() - (expected_log_likelihood - kl)) < 5 * standard_error(values)


def test_elbo_is_log_likelihood_minus_kl():
    assert elbo_from_terms(-90.0, 25.0) == -115.0
    key = jax.random.key(0)
    terms = elbo_terms(MODEL, wrong_params(), key, X)
    np.testing.assert_allclose(elbo(MODEL, wrong_params(), key, X), terms.log_likelihood - terms.kl, rtol=1e-6)


def test_with_the_exact_posterior_the_sampled_elbo_is_log_p_for_every_key():
    exact = log_likelihood(exact_params(), X)
    values = draws(lambda key: sampled_elbo(MODEL, exact_params(), key, X), 1000)
    np.testing.assert_allclose(values, np.full(1000, exact), rtol=1e-5)
    values = draws(lambda key: elbo(MODEL, exact_params(), key, X), 20_000)
    assert abs(values.mean() - exact) < 5 * standard_error(values)


@pytest.mark.parametrize("function", [elbo, sampled_elbo])
def test_gradients_have_the_analytic_mean(function):
    params = wrong_params()
    expected = jax.grad(lambda p: elbo_value(p, X, jnp))(params)
    gradients = draws(lambda key: jax.grad(function, argnums=1)(MODEL, params, key, X), 20_000)
    for name, value in expected.items():
        # Five standard errors in each of 26 numbers: fails once in 67,000 seeds.
        tolerance = 5 * standard_error(gradients[name]) + 1e-5
        assert (np.abs(gradients[name].mean(axis=0) - value) < tolerance).all(), name
        assert np.max(np.abs(value)) > 3 * np.max(tolerance), name  # far from zero, so that the comparison has power


@pytest.mark.parametrize("function", [elbo, sampled_elbo])
def test_given_its_key_the_elbo_is_a_function_with_a_right_gradient(function):
    check_grads(jax.jit(lambda p: function(MODEL, p, jax.random.key(2), X)), (wrong_params(),), 1, ["rev"], 2e-2, 2e-2)


@pytest.mark.parametrize("objective", [negative_elbo, negative_sampled_elbo])
def test_the_loss_is_minus_the_mean_elbo(objective):
    params, xs = wrong_params(), examples(6)
    losses = draws(lambda key: objective(MODEL, params, key, xs)[0], 10_000)
    expected = -np.mean([elbo_value(params, x.astype(np.float64)) for x in xs])
    assert abs(losses.mean() - expected) < 5 * standard_error(losses)  # fails once in 1.7 million seeds


@pytest.mark.parametrize("function", [elbo, sampled_elbo, iwae_of_2, distortion, lambda m, p, _, x: encode(m, p, x)])
def test_raw_pixels_are_refused_for_they_would_give_a_bound_of_nothing(function):
    with pytest.raises(TypeError, match=r"x holds raw uint8 pixels: preprocess them, .*binarize\(key, x\)"):
        function(MODEL, exact_params(), jax.random.key(0), X.astype(np.uint8))


def test_a_posterior_without_a_density_has_no_elbo():
    deterministic = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    for call in (
        lambda: elbo(deterministic, exact_params(), jax.random.key(0), X),
        lambda: negative_elbo(deterministic, exact_params(), jax.random.key(0), X[None]),
    ):
        with pytest.raises(
            TypeError, match=r"model: no closed-form KL .* from Delta to Normal.*objectives\.reconstruction"
        ):
            call()
