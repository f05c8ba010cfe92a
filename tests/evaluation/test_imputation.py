"""Tests of imputation, against exact conditionals: a linear-Gaussian model, and sums over a discrete code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from models.linear_gaussian_family import FAMILY
from models.linear_gaussian_family import exact_params as family_params
from objectives.linear_gaussian import NOISE_VARIANCE, OFFSET, WEIGHTS, examples, linear_gaussian
from vae_jax.distributions import Categorical, Joint, MultivariateNormal, Normal
from vae_jax.evaluation import impute, impute_examples
from vae_jax.models import VAE, Example, with_missing

MASKS = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
XS = np.where(MASKS, examples(4), np.nan)
KEY = jax.random.key(0)
COVARIANCE = WEIGHTS @ WEIGHTS.T + NOISE_VARIANCE * np.eye(4)


def linear_model(scale):
    """Linear model whose q(z | x_observed, mask) is the exact posterior with its covariance times scale."""
    model = linear_gaussian()

    def encode(params, observed):
        x, mask = observed
        weights = WEIGHTS * mask[:, None]
        covariance = jnp.linalg.inv(jnp.eye(2) + weights.T @ weights / NOISE_VARIANCE)
        mean = covariance @ weights.T @ (x - OFFSET * mask) / NOISE_VARIANCE
        return MultivariateNormal(mean, jnp.linalg.cholesky(scale * covariance))

    return with_missing(model._replace(encode=encode), lambda x, mask: (x, mask.astype(x.dtype)))


def conditional(x, mask):
    """Exact mean and covariance of the missing entries given the observed ones."""
    hidden = ~mask
    gain = COVARIANCE[np.ix_(hidden, mask)] @ np.linalg.inv(COVARIANCE[np.ix_(mask, mask)])
    mean = OFFSET[hidden] + gain @ (x[mask] - OFFSET[mask])
    return mean, COVARIANCE[np.ix_(hidden, hidden)] - gain @ COVARIANCE[np.ix_(mask, hidden)]


@pytest.mark.slow
def test_means_and_draws_are_those_of_the_exact_conditional_of_a_linear_model():
    model = linear_model(2.0)
    params = model.init(KEY)
    imputed = impute_examples(model, params, KEY, Example(XS, MASKS), 4000, 4000, batch_size=3)
    np.testing.assert_array_equal(imputed.value[0], XS[0])
    for x, mask, value, draws in zip(XS, MASKS, imputed.value, np.asarray(imputed.draws), strict=True):
        mean, covariance = conditional(x, mask)
        np.testing.assert_array_equal(np.asarray(value)[mask], x[mask].astype(np.float32))
        np.testing.assert_array_equal(draws[:, mask], np.broadcast_to(x[mask].astype(np.float32), draws[:, mask].shape))
        # Five standard errors: 4000 weights with an effective share of at least 1/2; draws repeat some of the samples.
        np.testing.assert_allclose(np.asarray(value)[~mask], mean, atol=5 * np.sqrt(COVARIANCE.max() / 2000))
        np.testing.assert_allclose(draws[:, ~mask].mean(0), mean, atol=0.13)
        np.testing.assert_allclose(np.cov(draws[:, ~mask].T).reshape(covariance.shape), covariance, atol=0.25)
    assert np.all((imputed.effective_sample_size > 2000) & (imputed.effective_sample_size < 3500))

    one = jax.jit(lambda x: impute(model, params, jax.random.fold_in(KEY, 2), Example(x, MASKS[2]), 4000, 4000))(XS[2])
    for own, other in zip(jax.tree.leaves(one), jax.tree.leaves(imputed), strict=True):
        np.testing.assert_allclose(own, other[2], rtol=1e-4, atol=1e-5)


def test_all_weights_of_the_exact_posterior_are_equal_and_chunks_change_nothing():
    model = linear_model(1.0)
    params = model.init(KEY)
    example = Example(XS[1], MASKS[1])
    results = [impute(model, params, KEY, example, 10, 2, chunk_size=size) for size in (4, 100)]
    for result in results:
        np.testing.assert_allclose(result.effective_sample_size, 10, rtol=1e-5)
        np.testing.assert_allclose(result.value, results[0].value, rtol=1e-5)
        np.testing.assert_allclose(result.draws, results[0].draws, rtol=1e-5)


CODE_LOGITS = jnp.log(jnp.array([0.5, 0.3, 0.2]))
CATEGORY_LOGITS = jnp.array([[[2.0, 0.0, 0.0, 0.5]] * 2, [[0.0, 1.0, 3.0, 0.5]] * 2, [[0.0, 1.0, 0.0, 1.5]] * 2])
MEANS = jnp.array([[-1.0, 0.0], [1.0, 0.5], [2.0, -3.0]])


def discrete_model():
    """z in {0, 1, 2}, x = two categories and two numbers, q(z | x) uniform."""
    kind = lambda z: Categorical(CATEGORY_LOGITS[z])
    decode = lambda params, z: Joint({"kind": kind(z), "size": Normal(MEANS[z], jnp.zeros(2))})
    uniform = lambda params, x: Categorical(jnp.zeros(3))
    vae = VAE(lambda key: {}, uniform, lambda params: Categorical(CODE_LOGITS), decode)
    return with_missing(vae, lambda x, mask: x)


def test_categories_and_numbers_of_a_row_are_those_of_the_sum_over_all_codes():
    model = discrete_model()
    row = {"kind": np.array([2, 0], np.int32), "size": np.array([np.nan, 0.3], np.float32)}
    mask = {"kind": np.array([True, False]), "size": np.array([False, True])}
    imputed = impute(model, {}, KEY, Example(row, mask), 20_000, 20_000)
    log_kinds = np.asarray(jax.nn.log_softmax(CATEGORY_LOGITS))
    joint = np.asarray(CODE_LOGITS) + log_kinds[:, 0, 2] - 0.5 * (0.3 - np.asarray(MEANS)[:, 1]) ** 2
    posterior = scipy.special.softmax(joint)
    probabilities = posterior @ np.exp(log_kinds[:, 1])
    np.testing.assert_array_equal(imputed.value["kind"], [2, np.argmax(probabilities)])
    assert imputed.value["kind"].dtype == jnp.int32
    np.testing.assert_allclose(imputed.value["size"], [posterior @ np.asarray(MEANS)[:, 0], 0.3], atol=0.03)
    frequencies = np.bincount(imputed.draws["kind"][:, 1], minlength=4) / 20_000
    np.testing.assert_allclose(frequencies, probabilities, atol=0.02)
    assert np.all(np.asarray(imputed.draws["kind"][:, 0]) == 2)
    weights = scipy.special.softmax(joint)
    np.testing.assert_allclose(imputed.effective_sample_size, 20_000 / (3 * np.sum(weights**2)), rtol=0.03)


def test_bad_arguments_are_refused():
    model = linear_model(1.0)
    params = model.init(KEY)
    example = Example(XS[1], MASKS[1])
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        impute(model, params, KEY, example, 0)
    with pytest.raises(ValueError, match="num_draws must be at least 0, got -1"):
        impute_examples(model, params, KEY, Example(XS, MASKS), 5, -1)
    with pytest.raises(ValueError, match="mask must have the shape"):
        impute(model, params, KEY, Example(XS[1], MASKS[1, :3]), 5)
    with pytest.raises(TypeError, match="needs a context"):
        impute(model, params, KEY, XS[1], 5)
    with pytest.raises(TypeError, match="model must know what is observed, as models"):
        impute(FAMILY, family_params(), KEY, Example(examples(1)[0], np.int32(1)), 5)
