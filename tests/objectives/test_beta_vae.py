"""beta-VAE and controlled capacity on the linear-Gaussian VAE, whose rates are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import elbo_parts, examples, linear_gaussian, wrong_params
from vae_jax.objectives import (
    beta_loss_from_terms,
    beta_vae_loss,
    capacity_loss,
    capacity_loss_from_terms,
    negative_elbo,
)

MODEL, PARAMS, XS, KEY = linear_gaussian(), wrong_params(), examples(5), jax.random.key(0)
RATES = np.array([elbo_parts(PARAMS, x.astype(np.float64))[1] for x in XS])


def test_the_arithmetic():
    assert beta_loss_from_terms(-90.0, 25.0, 4.0) == 190.0
    assert capacity_loss_from_terms(-90.0, 25.0, 10.0, 20.0) == 140.0
    assert capacity_loss_from_terms(-90.0, 15.0, 10.0, 20.0) == 140.0


@pytest.mark.slow
def test_beta_1_is_the_vae():
    for function in (lambda o: o(MODEL, PARAMS, KEY, XS)[0], lambda o: jax.grad(o, 1, True)(MODEL, PARAMS, KEY, XS)[0]):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
            function(beta_vae_loss(1.0)),
            function(negative_elbo),
        )


@pytest.mark.parametrize("value", [0, 0.5, 4.0, 1000])
def test_the_loss_is_distortion_plus_beta_rate_and_the_metrics_are_those_of_the_vae(value):
    loss, aux = beta_vae_loss(value)(MODEL, PARAMS, KEY, XS)
    np.testing.assert_allclose(loss, aux.metrics["distortion"] + value * aux.metrics["rate"], rtol=1e-6)
    _, expected = negative_elbo(MODEL, PARAMS, KEY, XS)
    assert aux.metrics == expected.metrics  # the true ELBO, bit for bit


def test_the_derivative_with_respect_to_a_traced_beta_is_the_rate():
    loss = lambda b: beta_vae_loss(b)(MODEL, PARAMS, KEY, XS)
    derivative, aux = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(2.5))
    np.testing.assert_allclose(derivative, aux.metrics["rate"], rtol=1e-6)
    assert derivative > 0.1


@pytest.mark.parametrize("value", [-1, -1e-9, float("nan"), np.float32(-2)])
def test_a_negative_beta_is_refused(value):
    with pytest.raises(ValueError, match="beta must be at least 0, got"):
        beta_vae_loss(value)


def test_more_than_one_beta_is_refused():
    with pytest.raises(ValueError, match=r"beta must be one number, got an array of shape \(3,\)"):
        beta_vae_loss(jnp.ones(3))


@pytest.mark.parametrize("nats", [0.0, float(np.sort(RATES)[2]), 50.0])
def test_the_loss_is_distortion_plus_gamma_times_each_examples_own_distance(nats):
    loss, aux = capacity_loss(7.0, nats)(MODEL, PARAMS, KEY, XS)
    expected = float(aux.metrics["distortion"]) + 7.0 * np.abs(RATES - nats).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    _, usual = negative_elbo(MODEL, PARAMS, KEY, XS)
    assert aux.metrics == usual.metrics  # the true ELBO, bit for bit


def test_some_of_the_examples_lie_on_either_side_of_the_middle_capacity():
    middle = np.sort(RATES)[2]
    distances = RATES - middle
    # This makes the mean distance differ from the distance of the mean in the test above.
    assert np.abs(distances).mean() > abs(distances.mean()) + 0.1


def test_the_gradient_pulls_the_rate_to_the_capacity_from_both_sides():
    rate = jax.grad(lambda p: negative_elbo(MODEL, p, KEY, XS)[1].metrics["rate"])
    distortion = jax.grad(lambda p: negative_elbo(MODEL, p, KEY, XS)[1].metrics["distortion"])
    loss = lambda nats: jax.grad(lambda p: capacity_loss(7.0, nats)(MODEL, p, KEY, XS)[0])
    rates, distortions, below, above = jax.jit(lambda p: [f(p) for f in (rate, distortion, loss(50.0), loss(0.0))])(
        PARAMS
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda d, r, g: close(g, d - 7 * r), distortions, rates, below)
    jax.tree.map(lambda d, r, g: close(g, d + 7 * r), distortions, rates, above)
    assert np.abs(rates["encoder"]).max() > 0.1


def test_with_gamma_1_and_no_capacity_it_is_the_vae():
    loss, _ = capacity_loss(1.0, 0.0)(MODEL, PARAMS, KEY, XS)
    np.testing.assert_allclose(loss, negative_elbo(MODEL, PARAMS, KEY, XS)[0], rtol=1e-6)


@pytest.mark.parametrize(("numbers", "name"), [((-1, 5), "gamma"), ((1, -0.5), "nats"), ((float("nan"), 1), "gamma")])
def test_numbers_below_0_are_refused_by_name(numbers, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got"):
        capacity_loss(*numbers)
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got"):
        jax.jit(lambda: capacity_loss(*numbers)(MODEL, PARAMS, KEY, jnp.asarray(XS))[0])()
