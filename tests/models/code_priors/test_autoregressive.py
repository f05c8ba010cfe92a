"""Exact likelihoods and samples of the autoregressive priors, prod_t p(codes[t] | codes[:t])."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from models.code_priors.tiny_priors import all_sequences, assert_frequencies, call, call_each, random_params, samples
from vae_jax.models import Sampling, pixel_cnn_prior, transformer_prior
from vae_jax.models.code_priors._autoregressive import autoregressive_prior, uncached
from vae_jax.networks import causal_transformer, gated_pixel_cnn

K, GRID, T, CLASSES = 3, (2, 2), 4, 2
SIZES = {"transformer": {"layers": 2, "width": 8, "heads": 2}, "pixel_cnn": {"layers": 2, "channels": 6}}
NETWORKS = {
    "transformer": causal_transformer(K, T, CLASSES, **SIZES["transformer"]),
    "pixel_cnn": gated_pixel_cnn(K, GRID, CLASSES, **SIZES["pixel_cnn"]),
}
PRIORS = {
    "transformer": transformer_prior(K, T, CLASSES, **SIZES["transformer"]),
    "pixel_cnn": pixel_cnn_prior(K, GRID, CLASSES, **SIZES["pixel_cnn"]),
}
SEQUENCES = all_sequences(K, T)
all_priors = pytest.mark.parametrize("name", PRIORS)


def log_probs(prior, params, label):
    label = np.int32(prior.num_classes if label is None else label)
    return np.asarray(call_each(prior.log_prob, (None, 0, None), params, SEQUENCES, label), np.float64)


@all_priors
@pytest.mark.parametrize("label", [0, 1, None])
def test_the_probabilities_of_all_sequences_add_up_to_1(name, label):
    prior = PRIORS[name]
    values = log_probs(prior, random_params(prior.init), label)
    np.testing.assert_allclose(np.exp(values).sum(), 1.0, rtol=1e-5)
    assert values.std() > 0.3  # not a uniform distribution


@all_priors
def test_the_log_probability_is_the_sum_over_the_networks_logits_in_numpy(name):
    params = random_params(PRIORS[name].init)
    logits = np.asarray(call(NETWORKS[name].logits, params, SEQUENCES[50], jnp.int32(1)), np.float64)
    expected = scipy.special.log_softmax(logits, axis=-1)[np.arange(T), SEQUENCES[50]].sum()
    np.testing.assert_allclose(log_probs(PRIORS[name], params, 1)[50], expected, rtol=1e-5)


@all_priors
def test_with_a_number_of_codes_per_place_other_codes_have_probability_0(name):
    sizes = (1, 2, 3, 2)
    prior = {
        "transformer": lambda: transformer_prior(sizes, T, CLASSES, **SIZES["transformer"]),
        "pixel_cnn": lambda: pixel_cnn_prior(sizes, GRID, CLASSES, **SIZES["pixel_cnn"]),
    }[name]()
    assert prior.num_codes == sizes
    params = random_params(prior.init)
    probabilities, possible = np.exp(log_probs(prior, params, 1)), (sizes > SEQUENCES).all(1)
    np.testing.assert_allclose(probabilities[possible].sum(), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(probabilities[~possible], 0.0)
    draws = samples(prior, params, 1, Sampling(guidance=1.0, top_k=2), 300)
    np.testing.assert_array_equal(draws.max(0), np.array(sizes) - 1)


@all_priors
@pytest.mark.parametrize("outside", [-1, K, 100])
def test_a_code_out_of_range_has_probability_0_at_every_place(name, outside):
    prior = PRIORS[name]
    params = random_params(prior.init)
    for place in range(T):
        codes = SEQUENCES[50].copy()
        codes[place] = outside
        assert call(prior.log_prob, params, codes, np.int32(0)) == -np.inf


@pytest.mark.slow
@all_priors
@pytest.mark.parametrize("label", [0, None])
def test_samples_have_the_exact_frequencies(name, label):
    prior = PRIORS[name]
    params = random_params(prior.init)
    draws = samples(prior, params, label, Sampling(), 20_000)
    assert_frequencies(draws, np.exp(log_probs(prior, params, label)), K)


@pytest.mark.slow
@all_priors
def test_samples_with_guidance_temperature_and_top_k_have_the_exact_frequencies(name):
    params = random_params(PRIORS[name].init)
    with_label, without = (
        np.asarray(call_each(NETWORKS[name].logits, (None, 0, None), params, SEQUENCES, jnp.int32(label)), np.float64)
        for label in (1, CLASSES)
    )
    # Logits ((1 + w) c - w u) / temperature at every position, without the least likely of three codes.
    guided = (2.0 * with_label - 1.0 * without) / 0.8
    guided[guided == guided.min(axis=-1, keepdims=True)] = -np.inf
    log_p = np.take_along_axis(scipy.special.log_softmax(guided, axis=-1), SEQUENCES[..., None], -1)
    probabilities = np.exp(log_p.sum(axis=(1, 2)))
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)
    draws = samples(PRIORS[name], params, 1, Sampling(temperature=0.8, top_k=2, guidance=1.0), 20_000)
    assert_frequencies(draws, probabilities, K)


@all_priors
def test_temperature_0_takes_the_most_probable_code_of_each_place_for_any_key(name):
    prior, network = PRIORS[name], NETWORKS[name]
    params = random_params(prior.init)
    best = np.zeros(T, np.int32)
    for t in range(T):
        best[t] = np.argmax(call(network.logits, params, best, jnp.int32(0))[t])
    draws = samples(prior, params, 0, Sampling(temperature=0.0), 20)
    np.testing.assert_array_equal(draws, np.tile(best, (20, 1)))


@all_priors
def test_the_loss_is_the_negative_log_probability_with_or_without_the_label(name):
    prior = PRIORS[name]
    params = random_params(prior.init)
    keys = jax.random.split(jax.random.key(0), 4000)
    losses = np.asarray(call_each(prior.loss, (None, 0, None, None), params, keys, SEQUENCES[5], np.int32(0)))
    with_label, without = (-log_probs(prior, params, label)[5] for label in (0, None))
    assert abs(with_label - without) > 0.05
    dropped = np.abs(losses - without) < 1e-4
    np.testing.assert_allclose(losses[~dropped], with_label, rtol=1e-5)
    # Five standard errors of a probability of 0.1: fails once in 1.7 million seeds.
    assert abs(dropped.mean() - 0.1) < 5 * np.sqrt(0.09 / len(keys))


def test_a_network_of_the_user_is_a_prior():
    # A table of logits of code t given code t - 1: a Markov chain.
    table = np.random.default_rng(0).normal(size=(K + 1, K)).astype(np.float32)

    def logits(params, codes, label):
        return params[jnp.concatenate([jnp.full(1, K), codes[:-1]])]

    prior = autoregressive_prior(lambda key: jnp.asarray(table), logits, *uncached(logits, T), K, T)
    chain = scipy.special.log_softmax(table.astype(np.float64), axis=-1)
    before = np.concatenate([np.full((len(SEQUENCES), 1), K), SEQUENCES[:, :-1]], axis=1)
    expected = chain[before, SEQUENCES].sum(axis=1)
    params = prior.init(jax.random.key(0))
    np.testing.assert_allclose(log_probs(prior, params, None), expected, rtol=1e-5)
    assert_frequencies(samples(prior, params, None, Sampling(), 20_000), np.exp(expected), K)
