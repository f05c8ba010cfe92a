"""Codes and scores of single examples, against closed forms of a linear-Gaussian VAE, or other library functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluation.linear_gaussian_of import elbo_of, examples_of, log_likelihood_of, model_of, wrong_params_of
from fresh import some_params
from models.small_family import FAMILY, PARAMS, XS, YS
from objectives.linear_gaussian import NOISE_VARIANCE, float64
from vae_jax import Example, mlp_vae, vq_vae
from vae_jax.distributions import kl_divergence
from vae_jax.evaluation import (
    encode_examples,
    encode_sequences,
    importance_sampling,
    mean_over_samples,
    measure_vq_vae,
    score_examples,
)
from vae_jax.models import autoencoder, masked_prior, with_code_prior
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo_terms
from vae_jax.quantizers import vector_quantizer

MODEL, WRONG, EXAMPLES = model_of(2), wrong_params_of(2), examples_of(2, 5)
KEY = jax.random.key(3)
BITS = jax.random.bernoulli(jax.random.key(0), 0.5, (5, 4, 4, 1)).astype(jnp.float32)


def code_model():
    networks = mlp_encoder((4, 4, 1), 2 * 2 * 3, (4,)), mlp_decoder(12, (4, 4, 1, 1), (4,))
    return vq_vae(*networks, vector_quantizer(4, 3), (2, 2))


def test_codes_are_numpys_arithmetic_on_the_encoder():
    p = float64(WRONG)
    mean, log_variance = (EXAMPLES - p["offset"]) @ p["encoder"].T, np.broadcast_to(p["log_variance"], (5, 2))
    kl = 0.5 * np.sum(np.exp(log_variance) - 1 - log_variance + mean**2, axis=1)
    for batch_size in (2, 100):
        found = encode_examples(MODEL, WRONG, EXAMPLES, batch_size=batch_size)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.std, np.exp(log_variance / 2), rtol=1e-5)
        np.testing.assert_allclose(found.kl, kl, rtol=1e-5)
        assert found.codes is None


def test_scores_are_near_the_closed_forms():
    # 20,000 draws of z: the ELBO of one example has a standard deviation of a few nats.
    scores = score_examples(MODEL, WRONG, KEY, EXAMPLES, elbo_samples=20_000, nll_samples=20_000)
    np.testing.assert_allclose(scores.elbo, elbo_of(WRONG, EXAMPLES), atol=0.1)
    np.testing.assert_allclose(scores.importance.log_likelihood, log_likelihood_of(WRONG, EXAMPLES), atol=0.05)
    np.testing.assert_array_equal(scores.score, scores.importance.log_likelihood)
    codes = encode_examples(MODEL, WRONG, EXAMPLES)
    np.testing.assert_allclose(scores.elbo + scores.distortion, -codes.kl, rtol=1e-4)
    p, residual = float64(WRONG), np.asarray(EXAMPLES, np.float64)
    residual = residual - p["offset"] - np.asarray(codes.mean, np.float64) @ p["weights"].T
    np.testing.assert_allclose(scores.mse, np.mean(residual**2, axis=1), rtol=1e-4)
    # E_q |x - W z - b|^2 = |x - W m - b|^2 + sum_d |w_d|^2 s_d^2.
    spread = np.sum(p["weights"] ** 2, axis=0) @ np.exp(p["log_variance"])
    squares = np.sum(residual**2, axis=1) + spread
    expected = 0.5 * (squares / NOISE_VARIANCE + 4 * np.log(2 * np.pi * NOISE_VARIANCE))
    np.testing.assert_allclose(scores.distortion, expected, atol=0.1)


def test_draws_follow_from_the_key_and_the_place_of_an_example_alone():
    whole = score_examples(MODEL, WRONG, KEY, EXAMPLES, nll_samples=30)
    parts = score_examples(MODEL, WRONG, KEY, EXAMPLES, nll_samples=30, batch_size=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), whole, parts)
    elbo_key, nll_key = jax.random.split(KEY)
    terms = mean_over_samples(elbo_terms, MODEL, WRONG, elbo_key, EXAMPLES, 16)
    np.testing.assert_allclose(whole.elbo, terms.log_likelihood - terms.kl, rtol=1e-5)
    np.testing.assert_allclose(whole.distortion, -terms.log_likelihood, rtol=1e-5)
    sampled = importance_sampling(MODEL, WRONG, nll_key, EXAMPLES, 30)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), whole.importance, sampled)
    same = np.broadcast_to(EXAMPLES[:1], EXAMPLES.shape)
    assert len(set(np.asarray(score_examples(MODEL, WRONG, KEY, same).elbo).tolist())) == 5


@pytest.mark.slow
def test_a_family_is_given_the_label_of_each_example():
    examples = Example(XS, YS)
    codes, scores = encode_examples(FAMILY, PARAMS, examples), score_examples(FAMILY, PARAMS, KEY, examples)
    for i, (x, y) in enumerate(zip(XS, YS, strict=True)):
        posterior = FAMILY.given(y).encode(PARAMS, x)
        np.testing.assert_allclose(codes.mean[i], posterior.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(codes.kl[i], kl_divergence(posterior, FAMILY.given(y).prior(PARAMS)), rtol=1e-4)
    other = score_examples(FAMILY, PARAMS, KEY, Example(XS, (YS + 1) % 3))
    assert (np.abs(np.asarray(scores.elbo - other.elbo)) > 1e-3).all()


@pytest.mark.slow
def test_codes_of_a_quantized_model_are_its_indices_and_its_elbo_the_bound_of_its_evaluation():
    model = code_model()
    params = some_params(model)
    codes, scores = encode_examples(model, params, BITS), score_examples(model, params, KEY, BITS)
    np.testing.assert_array_equal(codes.codes, encode_sequences(model, params, BITS))
    assert (codes.mean, codes.std, scores.importance) == (None, None, None)
    np.testing.assert_allclose(codes.kl, 4 * np.log(4), rtol=1e-6)
    summary = measure_vq_vae(model, params, KEY, BITS, 1, 0).summary
    np.testing.assert_allclose(-np.mean(scores.elbo), summary["negative_elbo"], rtol=1e-5)
    np.testing.assert_allclose(-10 * np.log10(np.mean(scores.mse)), summary["psnr"], rtol=1e-4)
    # A masked prior has no likelihood.
    masked = with_code_prior(model, masked_prior((4,) * 4, 4, steps=2, layers=1, width=8, heads=1))
    params = some_params(masked)
    scores = score_examples(masked, params, KEY, BITS)
    assert (scores.elbo, encode_examples(masked, params, BITS).kl) == (None, None)
    np.testing.assert_array_equal(scores.score, -scores.distortion)


def test_an_autoencoder_has_a_code_and_a_reconstruction_error_alone():
    model = autoencoder(mlp_encoder((4, 4, 1), 3, (4,)), mlp_decoder(3, (4, 4, 1, 1), (4,)), 3)
    params = some_params(model)
    codes, scores = encode_examples(model, params, BITS), score_examples(model, params, KEY, BITS)
    assert (codes.std, codes.codes, codes.kl, scores.elbo) == (None, None, None, None)
    one = lambda x: model.decode(params, model.encode(params, x).mean)
    np.testing.assert_allclose(codes.mean, jax.vmap(lambda x: model.encode(params, x).mean)(BITS), rtol=1e-5)
    error = -jax.vmap(lambda x: one(x).log_prob(x))(BITS)
    np.testing.assert_allclose(scores.distortion, error, rtol=1e-5)
    np.testing.assert_allclose(scores.score, -error, rtol=1e-5)
    with pytest.raises(TypeError, match="the posterior of model must have a density"):
        score_examples(model, params, KEY, BITS, nll_samples=2)


def test_bad_calls_are_refused_by_the_name_of_the_argument():
    model = mlp_vae((4, 4, 1), 2, (3,))
    for change, words in (
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"elbo_samples": 0}, "elbo_samples must be at least 1, got 0"),
        ({"nll_samples": -1}, "nll_samples must be at least 0, got -1"),
        ({"xs": jnp.zeros((0, 4, 4, 1))}, "the number of examples in xs must be at least 1, got 0"),
        ({"xs": jnp.zeros((2, 4, 3, 1))}, r"xs: expected one example of shape \(4, 4, 1\), got \(4, 3, 1\)"),
        ({"xs": jnp.full((2, 4, 4, 1), 2.0)}, "xs holds values outside"),
    ):
        with pytest.raises(ValueError, match=words):
            score_examples(**{"model": model, "params": {}, "key": KEY, "xs": BITS} | change)
