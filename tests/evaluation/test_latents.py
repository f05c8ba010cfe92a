import jax
import numpy as np
import pytest

from objectives.linear_gaussian import elbo_parts, examples, linear_gaussian, wrong_params
from vae_jax.distributions import Delta
from vae_jax.evaluation import active_units, kl_per_dimension, posterior_means

MODEL, PARAMS, XS = linear_gaussian(), wrong_params(), examples(9)


def test_active_units_counts_the_dimensions_whose_means_vary():
    # Alternating +-a has variance a^2: 4, 0.0121, 0.0081, 0 (at an offset of 100), 1e-12.
    signs = np.where(np.arange(100) % 2, 1.0, -1.0)[:, None]
    means = (signs * np.array([2.0, 0.11, 0.09, 0.0, 1e-6]) + np.array([0.0, 5.0, 0.0, 100.0, 0.0])).astype(np.float32)
    assert active_units(means) == 2
    assert active_units(means, threshold=0.008) == 3
    assert active_units(means, threshold=0.1) == 1
    assert active_units(means, threshold=5.0) == 0
    with pytest.raises(AssertionError, match="rank"):
        active_units(means[0])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_posterior_means_are_the_encoders(batch_size):
    expected = (XS - np.asarray(PARAMS["offset"])) @ np.asarray(PARAMS["encoder"]).T
    np.testing.assert_allclose(posterior_means(MODEL, PARAMS, XS, batch_size), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_kl_per_dimension_is_float64s_and_sums_to_the_rate(batch_size):
    actual = kl_per_dimension(MODEL, PARAMS, XS, batch_size)
    means = (XS.astype(np.float64) - np.asarray(PARAMS["offset"])) @ np.asarray(PARAMS["encoder"], np.float64).T
    log_variance = np.asarray(PARAMS["log_variance"], np.float64)
    expected = 0.5 * (np.expm1(log_variance) - log_variance + (means**2).mean(axis=0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    rate = np.mean([elbo_parts(PARAMS, x.astype(np.float64))[1] for x in XS])
    np.testing.assert_allclose(np.sum(actual), rate, rtol=1e-5)


def test_kl_per_dimension_refuses_what_does_not_factorise():
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    with pytest.raises(TypeError, match="needs a diagonal Normal posterior and prior, got Delta and Normal"):
        jax.block_until_ready(kl_per_dimension(model, PARAMS, XS))
