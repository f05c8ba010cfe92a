import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import examples, linear_gaussian, wrong_params
from vae_jax.objectives import beta_loss_from_terms, beta_vae_loss, negative_elbo

MODEL, PARAMS, XS, KEY = linear_gaussian(), wrong_params(), examples(5), jax.random.key(0)


def test_the_arithmetic():
    assert beta_loss_from_terms(-90.0, 25.0, 4.0) == 190.0


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
