import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from vae_jax.models import likelihoods

SHAPE = (2, 3, 1)
RNG = np.random.default_rng(0)
FIRST = RNG.normal(size=SHAPE).astype(np.float32)
SECOND = RNG.normal(size=SHAPE).astype(np.float32) - 1.0
BITS = RNG.integers(0, 2, SHAPE).astype(np.float32)
PIXELS = RNG.integers(1, 255, SHAPE).astype(np.float32) / 255  # without the first and last bins, which are open


def log_prob(likelihood, x, *outputs):
    assert likelihood.output_shape(x.shape) == (*x.shape, len(outputs))
    return float(likelihood.distribution(jnp.stack(outputs, axis=-1)).log_prob(x))


def test_bernoulli_reads_logits():
    expected = scipy.stats.bernoulli.logpmf(BITS, scipy.special.expit(FIRST.astype(np.float64))).sum()
    np.testing.assert_allclose(log_prob(likelihoods.bernoulli, BITS, FIRST), expected, rtol=1e-5)


def test_continuous_bernoulli_reads_logits():
    # The density l exp(x l) / (exp(l) - 1) on [0, 1].
    logits = FIRST.astype(np.float64)
    expected = (np.log(logits / np.expm1(logits)) + PIXELS * logits).sum()
    np.testing.assert_allclose(log_prob(likelihoods.continuous_bernoulli, PIXELS, FIRST), expected, rtol=1e-4)


def test_normal_reads_the_mean_and_the_log_variance():
    expected = scipy.stats.norm.logpdf(PIXELS, FIRST, np.exp(SECOND.astype(np.float64) / 2)).sum()
    np.testing.assert_allclose(log_prob(likelihoods.normal, PIXELS, FIRST, SECOND), expected, rtol=1e-5)


def test_laplace_reads_the_mean_and_the_log_scale():
    expected = scipy.stats.laplace.logpdf(PIXELS, FIRST, np.exp(SECOND.astype(np.float64))).sum()
    np.testing.assert_allclose(log_prob(likelihoods.laplace, PIXELS, FIRST, SECOND), expected, rtol=1e-5)


def test_logistic_reads_the_location_and_the_log_scale():
    scale = np.exp(SECOND.astype(np.float64))
    edges = [scipy.stats.logistic.cdf(PIXELS + side / 510, FIRST, scale) for side in (1, -1)]
    expected = np.log(edges[0] - edges[1]).sum()
    np.testing.assert_allclose(log_prob(likelihoods.logistic, PIXELS, FIRST, SECOND), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["bernoulli", "continuous_bernoulli"])
def test_logits_start_at_the_clipped_logit_of_the_data_mean(name):
    mean = jnp.array([0.0, 0.2, 0.5, 1.0]).reshape(2, 2, 1)
    expected = scipy.special.logit(np.array([1e-3, 0.2, 0.5, 1 - 1e-3])).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(getattr(likelihoods, name).initial_outputs(mean), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "second"), [("logistic", -2.0), ("laplace", -2.0), ("normal", -4.0)])
def test_locations_start_at_the_data_mean_and_scales_at_exp_minus_2(name, second):
    mean = jnp.array([0.0, 0.2, 0.5, 1.0]).reshape(2, 2, 1)
    outputs = getattr(likelihoods, name).initial_outputs(mean)
    np.testing.assert_array_equal(outputs[..., 0], mean)
    np.testing.assert_array_equal(outputs[..., 1], np.full((2, 2, 1), second))


def test_a_fixed_normal_is_a_squared_error_in_nats():
    outputs, x = jnp.asarray([[0.2], [0.7]]), jnp.asarray([0.5, 0.1])
    narrow = likelihoods.fixed_normal(0.5 / np.pi).distribution(outputs)
    np.testing.assert_allclose(narrow.log_prob(x), -np.pi * (0.3**2 + 0.6**2), rtol=1e-5)
    wide = likelihoods.fixed_normal(4.0).distribution(outputs)
    np.testing.assert_allclose(wide.log_prob(x), scipy.stats.norm.logpdf([0.5, 0.1], [0.2, 0.7], 2.0).sum(), rtol=1e-5)
    np.testing.assert_array_equal(likelihoods.fixed_normal(4.0).initial_outputs(x), x[:, None])
    with pytest.raises(ValueError, match="variance must be above 0, got 0"):
        likelihoods.fixed_normal(0.0)
