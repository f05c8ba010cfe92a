"""Tests of models of data with missing values, against the exact log p of the observed entries of a linear model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fresh import some_params
from objectives.linear_gaussian import NOISE_VARIANCE, OFFSET, WEIGHTS, examples, linear_gaussian
from vae_jax import models
from vae_jax.distributions import Masked, MultivariateNormal
from vae_jax.models import Example, bind, likelihoods, mlp_vae, with_missing
from vae_jax.objectives import log_weights, negative_iwae

MASKS = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
XS = np.where(MASKS, examples(4), np.nan)
KEY = jax.random.key(0)


def exact_model():
    """Linear model with the exact posterior given the observed entries: precision I + W_o^T W_o / s^2."""
    model = linear_gaussian()

    def encode(params, observed):
        x, mask = observed
        weights = WEIGHTS * mask[:, None]
        covariance = jnp.linalg.inv(jnp.eye(2) + weights.T @ weights / NOISE_VARIANCE)
        mean = covariance @ weights.T @ (x - OFFSET * mask) / NOISE_VARIANCE
        return MultivariateNormal(mean, jnp.linalg.cholesky(covariance))

    return with_missing(model._replace(encode=encode), lambda x, mask: (x, mask.astype(x.dtype)))


def log_likelihoods():
    """Exact log p of the observed entries, by scipy; 0 for an example without any."""
    covariance = WEIGHTS @ WEIGHTS.T + NOISE_VARIANCE * np.eye(4)
    for x, mask in zip(XS, MASKS, strict=True):
        marginal = scipy.stats.multivariate_normal(OFFSET[mask], covariance[np.ix_(mask, mask)]) if mask.any() else None
        yield 0.0 if marginal is None else marginal.logpdf(x[mask])


def test_each_importance_weight_of_the_exact_posterior_is_the_density_of_the_observed_entries():
    model = exact_model()
    params = model.init(KEY)

    def weights(x, mask):
        vae, x = bind(model, Example(x, mask))
        return log_weights(vae, params, KEY, x, 3)

    expected = np.broadcast_to(np.array(list(log_likelihoods()))[:, None], (4, 3))
    np.testing.assert_allclose(jax.jit(jax.vmap(weights))(XS, MASKS), expected, rtol=1e-5, atol=1e-5)


def test_the_objective_is_minus_the_mean_bound_and_its_gradient_does_not_see_missing_entries():
    model = exact_model()
    params = model.init(KEY)
    gradient = jax.jit(jax.value_and_grad(lambda p, xs: negative_iwae(5)(model, p, KEY, Example(xs, MASKS))[0]))
    loss, of_nan = gradient(params, XS)
    np.testing.assert_allclose(loss, -np.mean(list(log_likelihoods())), rtol=1e-5)
    _, of_other = gradient(params, np.where(MASKS, XS, 1e30).astype(np.float32))
    for given, expected in zip(jax.tree.leaves(of_nan), jax.tree.leaves(of_other), strict=True):
        assert np.isfinite(given).all()
        np.testing.assert_array_equal(given, expected)


def test_an_image_model_sees_zeros_and_the_mask():
    image = (2, 2, 1)
    seen = []
    vae = mlp_vae((2, 2, 2), 2, (5,), likelihoods.normal)
    record = vae._replace(encode=lambda params, x: seen.append(x) or vae.encode(params, x))
    mask = jnp.array([1, 0, 0, 1]).reshape(image)
    x = jnp.arange(1.0, 5.0).reshape(image)
    with_missing(record).given(mask).encode(some_params(vae), x)
    np.testing.assert_array_equal(seen[0][..., 0].ravel(), [1, 0, 0, 4])
    np.testing.assert_array_equal(seen[0][..., 1].ravel(), [1, 0, 0, 1])


def test_the_decoder_is_a_distribution_over_complete_examples():
    model = exact_model()
    decoded = model.given(MASKS[2]).decode(model.init(KEY), jnp.ones(2))
    assert isinstance(decoded, Masked)
    np.testing.assert_allclose(decoded.mean, WEIGHTS.sum(1) + OFFSET, rtol=1e-6)


def test_bad_masks_and_models_are_refused():
    model = exact_model()
    params = model.init(KEY)
    with pytest.raises(ValueError, match=r"mask must have the shape of x, \(4,\), got \(3,\)"):
        model.given(np.ones(3, bool)).encode(params, jnp.zeros(4))
    with pytest.raises(TypeError, match="context must hold a mask of booleans or numbers, got dtype <U1"):
        models.encode(model, params, jnp.zeros(4), context=np.array(list("abcd")))
    with pytest.raises(TypeError, match="model must be a VAE, got a Conditional"):
        with_missing(model)
