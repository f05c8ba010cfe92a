import jax
import numpy as np
import scipy.stats

from objectives.linear_gaussian import (
    NOISE_VARIANCE,
    draws,
    elbo_parts,
    exact_params,
    examples,
    float64,
    linear_gaussian,
    standard_error,
    wrong_params,
)
from vae_jax.distributions import Delta
from vae_jax.objectives import distortion, reconstruction_loss

MODEL, XS = linear_gaussian(), examples(4)


def test_with_a_delta_it_is_minus_the_log_likelihood_at_the_code():
    params = exact_params()
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ (x - params["offset"])))
    p = float64(params)
    means = (XS - p["offset"]) @ p["encoder"].T @ p["weights"].T + p["offset"]
    expected = -scipy.stats.norm.logpdf(XS, means, np.sqrt(NOISE_VARIANCE)).sum(axis=1)
    actual = [distortion(model, params, jax.random.key(0), x) for x in XS]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    loss, aux = reconstruction_loss(model, params, jax.random.key(1), XS)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    assert aux.metrics == {"distortion": loss}


def test_with_a_noisy_posterior_it_is_the_elbos_distortion_in_expectation():
    params = wrong_params()
    losses = draws(lambda key: reconstruction_loss(MODEL, params, key, XS)[0], 10_000)
    expected = -np.mean([elbo_parts(params, x.astype(np.float64))[0] for x in XS])
    assert abs(losses.mean() - expected) < 5 * standard_error(losses)  # fails once in 1.7 million seeds
