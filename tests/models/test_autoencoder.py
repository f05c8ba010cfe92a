import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fresh import init
from vae_jax.models import autoencoder, fit_prior, likelihoods
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import reconstruction_loss
from vae_jax.params import split_buffers


def small_autoencoder():
    encoder, decoder = mlp_encoder((2, 2, 1), 3, (5,)), mlp_decoder(3, (2, 2, 1, 2), (5,))
    return autoencoder(encoder, decoder, 3, likelihoods.normal), encoder, decoder


MODEL, ENCODER, DECODER = small_autoencoder()
X = np.array([0.1, 0.4, 0.9, 0.2], np.float32).reshape(2, 2, 1)


@pytest.mark.slow
def test_the_latent_code_is_the_encoders_output_for_any_key():
    params = init(MODEL, jax.random.key(0))
    code = ENCODER.apply(params["encoder"], X)
    posterior = MODEL.encode(params, X)
    for seed in (0, 1):
        np.testing.assert_array_equal(posterior.sample(jax.random.key(seed)), code)
    outputs = np.asarray(DECODER.apply(params["decoder"], code), np.float64)
    expected = scipy.stats.norm.logpdf(X, outputs[..., 0], np.exp(outputs[..., 1] / 2)).sum()
    np.testing.assert_allclose(MODEL.decode(params, code).log_prob(X), expected, rtol=1e-5)


def test_the_prior_is_standard_normal_until_it_is_fitted():
    z = np.array([0.5, -1.0, 2.0], np.float32)
    expected = scipy.stats.norm.logpdf(z).sum()
    np.testing.assert_allclose(MODEL.prior(init(MODEL, jax.random.key(0))).log_prob(z), expected, rtol=1e-6)


def test_fit_prior_takes_the_mean_and_variance_of_each_dimension():
    params = init(MODEL, jax.random.key(0))
    scales = np.array([0.1, 1.0, 30.0])
    codes = (np.random.default_rng(0).normal(size=(200, 3)) * scales + 3 * scales).astype(np.float32)
    fitted = fit_prior(params, jnp.asarray(codes))
    prior = MODEL.prior(fitted)
    np.testing.assert_allclose(prior.mean, codes.astype(np.float64).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(prior.log_variance), codes.astype(np.float64).var(axis=0), rtol=1e-4)
    # The given parameters do not change, and neither do the other parameters of the result.
    np.testing.assert_array_equal(params["buffers"]["prior_mean"], np.zeros(3))
    for before, after in zip(*(jax.tree.leaves(split_buffers(p)[0]) for p in (params, fitted)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_dimension_without_variance_has_a_prior_of_finite_density():
    fitted = fit_prior(init(MODEL, jax.random.key(0)), jnp.tile(jnp.array([1.0, 2.0, 3.0]), (7, 1)))
    np.testing.assert_allclose(MODEL.prior(fitted).log_variance, np.full(3, np.log(1e-12)), rtol=1e-5)
    np.testing.assert_allclose(MODEL.prior(fitted).sample(jax.random.key(0)), [1.0, 2.0, 3.0], atol=1e-5)


@pytest.mark.slow
def test_the_loss_has_a_gradient_in_all_parameters_but_the_buffers():
    params = init(MODEL, jax.random.key(0))
    batch = jnp.stack([X, 1 - X, X**2])
    gradient = jax.grad(lambda p: reconstruction_loss(MODEL, p, jax.random.key(1), batch)[0])(params)
    for name, leaf in gradient["buffers"].items():
        np.testing.assert_array_equal(leaf, np.zeros(3), err_msg=name)
    for path, leaf in jax.tree_util.tree_leaves_with_path(split_buffers(gradient)[0]):
        assert np.abs(leaf).max() > 1e-3, jax.tree_util.keystr(path)
