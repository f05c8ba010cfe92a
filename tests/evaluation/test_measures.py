"""Metrics of a run's summary, against the closed forms of the linear-Gaussian VAE."""

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
from vae_jax import VAE, Normal, standard_normal
from vae_jax.distributions import Chain, Delta, Distribution, Mixture, UndefinedError
from vae_jax.evaluation import (
    elbo_surgery,
    from_posterior,
    from_prior,
    importance_sampling,
    measure_annealing,
    measure_autoencoder,
    measure_nll,
    measure_surgery,
    measure_vae,
)

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
    assert summary["kl_per_dimension"] == np.asarray(measures.kl_per_dimension).tolist()
    assert summary["posterior_collapse"].startswith("All 2 dimensions are used")
    assert measures.posterior_means.shape == (200, 2)


@pytest.mark.slow
def test_with_the_exact_posterior_bound_and_likelihood_meet():
    measures = measure_vae(MODEL, exact_params(), jax.random.key(1), XS, 200, 3)
    np.testing.assert_allclose(measures.summary["nll"], -log_likelihood(exact_params(), XS).mean(), rtol=1e-5)
    np.testing.assert_allclose(measures.summary["negative_elbo"], measures.summary["nll"], atol=0.05)


def test_no_samples_leave_the_nll_out():
    summary = measure_vae(MODEL, exact_params(), jax.random.key(1), XS, 1, 0).summary
    assert not {name for name in summary if name.startswith(("nll", "pareto", "effective"))}


NLL_KEYS = {
    "nll", "nll_standard_error", "nll_samples", "nll_warning",
    "effective_sample_size", "pareto_k", "pareto_k_limit", "pareto_k_above_limit",
}  # fmt: skip


def test_the_nll_comes_with_the_medians_of_its_diagnostics():
    estimates = importance_sampling(MODEL, wrong_params(), jax.random.key(2), XS[:50], 300)
    seen = []
    numbers = measure_nll(MODEL, wrong_params(), jax.random.key(2), XS[:50], 300, on_batch=seen.append)
    assert set(numbers) == NLL_KEYS
    np.testing.assert_allclose(numbers["nll"], -np.mean(estimates.log_likelihood), rtol=1e-6)
    np.testing.assert_allclose(numbers["effective_sample_size"], np.median(estimates.effective_sample_size), rtol=1e-6)
    np.testing.assert_allclose(numbers["pareto_k"], np.median(estimates.pareto_k), rtol=1e-6)
    assert numbers["pareto_k_above_limit"] == np.mean(np.asarray(estimates.pareto_k) > numbers["pareto_k_limit"])
    np.testing.assert_allclose(numbers["pareto_k_limit"], 1 - 1 / np.log10(300))
    assert sum(len(batch.log_likelihood) for batch in seen) == 50


def test_an_exact_posterior_is_trusted_and_too_few_samples_are_not():
    exact = measure_nll(MODEL, exact_params(), jax.random.key(3), XS[:50], 300)
    np.testing.assert_allclose(exact["effective_sample_size"], 300, rtol=1e-3)
    assert (exact["pareto_k"], exact["pareto_k_above_limit"], exact["nll_warning"]) == (0.0, 0.0, None)
    # With 3 samples no tail can be fitted: k is infinite, which JSON cannot represent.
    few = measure_nll(MODEL, wrong_params(), jax.random.key(3), XS[:50], 3)
    assert (few["pareto_k"], few["pareto_k_above_limit"]) == (None, 1.0)
    assert "samples" in few["nll_warning"]


def test_the_surgery_is_its_estimates_by_name():
    numbers = measure_surgery(MODEL, wrong_params(), jax.random.key(4), XS, 100)
    for name, estimate in elbo_surgery(MODEL, wrong_params(), jax.random.key(4), XS, 100)._asdict().items():
        assert (numbers[name], numbers[f"{name}_standard_error"]) == estimate
    assert (numbers["mutual_information_limit"], numbers["surgery_points"]) == (np.log(200), 100)


@pytest.mark.slow
def test_annealing_meets_the_closed_form_within_the_gap_of_its_bounds():
    params = wrong_params()
    numbers = measure_annealing(MODEL, params, jax.random.key(5), XS[:10], 8, 60)
    np.testing.assert_allclose(numbers["ais_nll"], -log_likelihood(params, XS[:10]).mean(), atol=0.1)
    assert abs(numbers["bdmc_gap"]) < 0.2
    np.testing.assert_allclose(
        numbers["bdmc_upper_bound"] - numbers["bdmc_lower_bound"], numbers["bdmc_gap"], atol=1e-3
    )
    assert 0.5 < numbers["ais_acceptance_rate"] < 0.9
    assert (numbers["ais_images"], numbers["ais_chains"], numbers["ais_temperatures"]) == (10, 8, 60)


def with_prior(prior):
    return MODEL._replace(prior=lambda params: prior)


@pytest.mark.slow
def test_a_prior_without_a_closed_form_is_measured_by_sampling():
    # A mixture of two equal components is a Normal, whose KL divergence has a closed form.
    twice = Mixture(jnp.zeros(2), Normal(jnp.zeros((2, 2)), jnp.zeros((2, 2))))
    params, key = wrong_params(), jax.random.key(6)
    mixture, normal = (
        measure_vae(model, params, key, XS, 300, 0) for model in (with_prior(twice), with_prior(standard_normal(2)))
    )
    # A sample's KL spreads by about a nat: 200 x 300 of them.
    np.testing.assert_allclose(mixture.summary["rate"], normal.summary["rate"], atol=0.03)
    np.testing.assert_allclose(mixture.summary["distortion"], normal.summary["distortion"], rtol=1e-5)
    assert mixture.kl_per_dimension is mixture.summary["kl_per_dimension"] is None
    assert (mixture.summary["active_units"], mixture.summary["posterior_collapse"]) == (2, "2 of 2 units are active.")
    np.testing.assert_allclose(mixture.posterior_means, normal.posterior_means, rtol=1e-5)


def prior_of_first(params, before):
    return standard_normal(2)


def second_given_first(params, before):
    return Normal(params * before[:1], jnp.zeros(1))


@pytest.mark.slow
def test_two_layers_are_measured_each_for_itself():
    # z_2 ~ N(0, 1) under posterior and prior whatever z_1 is: the model is the linear-Gaussian one, with a dead layer.
    def encode(params, x):
        return Chain(MODEL.encode(params, x), (jnp.asarray(0.0),), (second_given_first,))

    layered = VAE(
        MODEL.init,
        encode,
        lambda params: Chain(standard_normal(1), (None,), (prior_of_first,), from_last=True),
        lambda params, z: MODEL.decode(params, z[0]),
    )
    params = wrong_params()
    measures = measure_vae(layered, params, jax.random.key(7), XS, 100, 200)
    summary = measures.summary
    parts = np.array([elbo_parts(params, x) for x in np.asarray(XS, np.float64)])
    np.testing.assert_allclose(summary["rate"], parts[:, 1].mean(), atol=0.05)
    np.testing.assert_allclose(summary["distortion"], -parts[:, 0].mean(), atol=0.1)
    np.testing.assert_allclose(summary["nll"], -log_likelihood(params, XS).mean(), atol=0.05)
    assert summary["active_units"] == [2, 0]
    assert summary["posterior_collapse"].startswith(
        "Active units: 2 of 2 in layer 1, 0 of 1 in layer 2. The model does not use layer 2: the mean"
    )
    assert measures.posterior_means is measures.kl_per_dimension is None


def test_an_autoencoder_has_a_distortion_and_nothing_else():
    model = MODEL._replace(encode=lambda params, x: Delta(params["encoder"] @ (x - params["offset"])))
    measures = measure_autoencoder(model, exact_params(), jax.random.key(0), XS, 10, 10)
    # For a posterior without variance, the closed form at log_variance -inf is the residual alone.
    params = {**exact_params(), "log_variance": jnp.full(2, -200.0)}
    expected = np.array([-elbo_parts(params, x)[0] for x in np.asarray(XS, np.float64)])
    summary = measures.summary
    np.testing.assert_allclose(summary["distortion"], expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(summary["distortion_standard_error"], expected.std(ddof=1) / np.sqrt(200), rtol=1e-4)
    assert [summary[name] for name in ("negative_elbo", "rate", "active_units")] == [None] * 3
    assert measures.kl_per_dimension is None
    expected_codes = (np.asarray(XS) - np.asarray(params["offset"])) @ np.asarray(params["encoder"]).T
    np.testing.assert_allclose(measures.posterior_means, expected_codes, rtol=1e-4, atol=1e-5)


class Odd(Distribution):
    """Posterior whose KL divergence raises an error of the user's code, or has no closed form."""

    def __init__(self, error):
        self.error, self.mean = error, jnp.zeros(2)

    def sample(self, key):
        return jax.random.normal(key, (2,))

    def log_prob(self, value):
        return standard_normal(2).log_prob(value)

    def kl(self, other):
        raise self.error


@pytest.mark.slow
def test_only_what_is_undefined_is_estimated_and_a_mistake_in_the_model_comes_out():
    """Regression test: a TypeError of the user's code was mistaken for a divergence without a closed form."""

    def model_with(error):
        return MODEL._replace(encode=lambda params, x: Odd(error))

    summary = measure_vae(model_with(UndefinedError("none")), exact_params(), jax.random.key(0), XS, 2, 0).summary
    assert abs(summary["rate"]) < 1e-5  # posterior and prior are the same
    assert summary["kl_per_dimension"] is None
    with pytest.raises(TypeError, match="add got incompatible shapes"):
        measure_vae(model_with(TypeError("add got incompatible shapes")), exact_params(), jax.random.key(0), XS, 2, 0)


@pytest.mark.parametrize("name", ["num_chains", "num_temperatures"])
def test_an_annealing_of_nothing_is_refused_by_its_own_name(name):
    sizes = {"num_chains": 2, "num_temperatures": 5} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        measure_annealing(MODEL, wrong_params(), jax.random.key(0), XS[:2], **sizes)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="the number of examples in xs must be at least 1, got 0"):
        measure_vae(MODEL, wrong_params(), jax.random.key(0), XS[:0], 1, 0)


def test_a_posterior_that_is_the_same_for_every_image_is_said_to_tell_nothing():
    # KL(N(1, 1/e) || N(0, 1)) is 0.68 nats per dimension, but there is no information about the image.
    constant = MODEL._replace(encode=lambda params, x: Normal(jnp.ones(2), jnp.full(2, -1.0)))
    summary = measure_vae(constant, wrong_params(), jax.random.key(0), XS, 1, 0).summary
    np.testing.assert_allclose(summary["rate"], 1 + np.exp(-1), rtol=1e-5)
    assert summary["active_units"] == 0
    assert "z carries no information about it" in summary["posterior_collapse"]


@pytest.mark.slow
def test_a_gap_between_the_bounds_is_said_in_words_and_the_prior_as_a_start_closes_it():
    # A posterior a thousand times too narrow, from which the chains hardly move.
    narrow = {**wrong_params(), "log_variance": jnp.full(2, -16.0)}
    measure = lambda start: measure_annealing(MODEL, narrow, jax.random.key(0), XS[:20], 8, 200, start=start)
    stuck, free = measure(from_posterior), measure(from_prior)
    truth = -log_likelihood(narrow, XS[:20]).mean()
    assert stuck["bdmc_gap"] > 1
    assert stuck["ais_nll"] > truth + 0.5
    assert "start from the prior" in stuck["ais_warning"]
    assert abs(free["ais_nll"] - truth) < 0.1
    assert free["ais_warning"] is None
