"""The numbers of a run's summary, against the linear-Gaussian VAE's closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import (
    elbo_parts,
    exact_params,
    examples,
    linear_gaussian,
    log_likelihood,
    wrong_params,
)
from vae_jax.distributions import Delta
from vae_jax.evaluation import measure_autoencoder, measure_vae

MODEL, XS = linear_gaussian(), jnp.asarray(examples(200))


@pytest.mark.slow
def test_a_vaes_summary_is_the_closed_forms():
    params = wrong_params()
    measures = measure_vae(MODEL, params, jax.random.key(0), XS, 200, 500)
    summary = measures.summary
    parts = np.array([elbo_parts(params, x) for x in np.asarray(XS, np.float64)])
    # 200 x 200 draws of z whose log-likelihood spreads by a few nats: an error of some 0.02.
    np.testing.assert_allclose(summary["distortion"], -parts[:, 0].mean(), atol=0.1)
    np.testing.assert_allclose(summary["rate"], parts[:, 1].mean(), rtol=1e-5)
    np.testing.assert_allclose(summary["negative_elbo"], summary["rate"] + summary["distortion"], rtol=1e-5)
    elbos = parts[:, 0] - parts[:, 1]
    np.testing.assert_allclose(summary["negative_elbo_standard_error"], elbos.std(ddof=1) / np.sqrt(200), rtol=0.1)
    np.testing.assert_allclose(summary["nll"], -log_likelihood(params, XS).mean(), atol=0.03)
    error = log_likelihood(params, XS).std(ddof=1) / np.sqrt(200)
    np.testing.assert_allclose(summary["nll_standard_error"], error, rtol=0.05)
    assert summary["nll"] < summary["negative_elbo"] - 0.1
    assert (summary["active_units"], summary["elbo_samples"], summary["nll_samples"]) == (2, 200, 500)
    np.testing.assert_allclose(np.sum(measures.kl_per_dimension), summary["rate"], rtol=1e-5)
    assert measures.posterior_means.shape == (200, 2)


@pytest.mark.slow
def test_with_the_exact_posterior_bound_and_likelihood_meet():
    measures = measure_vae(MODEL, exact_params(), jax.random.key(1), XS, 200, 3)
    np.testing.assert_allclose(measures.summary["nll"], -log_likelihood(exact_params(), XS).mean(), rtol=1e-5)
    np.testing.assert_allclose(measures.summary["negative_elbo"], measures.summary["nll"], atol=0.05)


def test_no_samples_leave_the_nll_out():
    summary = measure_vae(MODEL, exact_params(), jax.random.key(1), XS, 1, 0).summary
    assert not {"nll", "nll_standard_error", "nll_samples"} & set(summary)


def test_an_autoencoder_has_a_distortion_and_nothing_else():
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ (x - params["offset"])))
    measures = measure_autoencoder(model, exact_params(), jax.random.key(0), XS, 10, 10)
    # A posterior of no variance: the closed form at log_variance -inf leaves the residual alone.
    params = {**exact_params(), "log_variance": jnp.full(2, -200.0)}
    expected = np.array([-elbo_parts(params, x)[0] for x in np.asarray(XS, np.float64)])
    summary = measures.summary
    np.testing.assert_allclose(summary["distortion"], expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(summary["distortion_standard_error"], expected.std(ddof=1) / np.sqrt(200), rtol=1e-4)
    assert [summary[name] for name in ("negative_elbo", "rate", "active_units")] == [None] * 3
    assert measures.kl_per_dimension is None
    expected_codes = (np.asarray(XS) - np.asarray(params["offset"])) @ np.asarray(params["encoder"]).T
    np.testing.assert_allclose(measures.posterior_means, expected_codes, rtol=1e-4, atol=1e-5)
