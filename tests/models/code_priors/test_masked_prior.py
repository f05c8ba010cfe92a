import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from models.code_priors.tiny_priors import (
    PATTERNS,
    assert_samples_are_patterns,
    call,
    call_each,
    fitted_to_patterns,
    random_params,
    samples,
)
from vae_jax.models import Sampling, masked_prior
from vae_jax.models.code_priors._masked_prior import decode_masked, draw_mask, masked_cross_entropy, masking_schedule
from vae_jax.networks import bidirectional_transformer

SIZES = {"layers": 1, "width": 16, "heads": 4}
K, T = 7, 12


# --------------------------------------------------------------------------------------------------------------- loss


def mask_size_probabilities(length):
    """P(n = ceil(T cos(pi r / 2))) for n = 1, ..., T: cos(pi r / 2) in ((n - 1) / T, n / T]."""
    ends = 2 / np.pi * np.arccos(np.arange(length + 1) / length)
    return ends[:-1] - ends[1:]


def test_masks_have_the_sizes_of_the_cosine_schedule_and_uniform_places():
    masks = np.asarray(jax.jit(jax.vmap(lambda key: draw_mask(key, 5)))(jax.random.split(jax.random.key(0), 20_000)))
    sizes = np.bincount(masks.sum(axis=1), minlength=6)
    assert sizes[0] == 0
    # Each chi-square test fails once in 10,000 seeds.
    assert scipy.stats.chisquare(sizes[1:], 20_000 * mask_size_probabilities(5)).pvalue > 1e-4
    pairs = masks[masks.sum(axis=1) == 2] @ (1 << np.arange(5))
    counts = np.unique(pairs, return_counts=True)[1]
    assert len(counts) == 10
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_the_cross_entropy_is_the_mean_over_the_masked_places_times_all_places():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(0, 2, (T, K)).astype(np.float32), rng.integers(0, K, T)
    masked = np.isin(np.arange(T), [1, 4, 5, 11])
    losses = -scipy.special.log_softmax(logits.astype(np.float64), axis=1)[np.arange(T), codes]
    expected = T * losses[masked].mean()
    np.testing.assert_allclose(masked_cross_entropy(logits, codes, masked), expected, rtol=1e-5)
    # The logits of other places do not matter.
    logits[~masked] = 1e6 * rng.normal(size=(T - 4, K))
    np.testing.assert_allclose(masked_cross_entropy(logits, codes, masked), expected, rtol=1e-5)


@pytest.mark.slow
def test_the_mean_loss_is_the_expectation_over_all_masks_in_numpy():
    length, num_codes = 4, 3
    network = bidirectional_transformer(num_codes, length, 2, **SIZES)
    prior = masked_prior(num_codes, length, 2, **SIZES, steps=2)
    params, codes = random_params(prior.init, deviation=0.3), np.array([0, 2, 1, 1])
    masks = np.array(list(itertools.product([False, True], repeat=length))[1:])
    tokens = np.where(masks, num_codes, codes).astype(np.int32)
    sizes = masks.sum(axis=1)
    subsets = np.array([math.comb(length, n) for n in sizes])
    probabilities = mask_size_probabilities(length)[sizes - 1] / subsets
    expected = 0.0
    for label, weight in [(1, 0.9), (2, 0.1)]:
        logits = call_each(network.logits, (None, 0, None), params, tokens, jnp.int32(label))
        losses = -scipy.special.log_softmax(np.asarray(logits, np.float64), axis=-1)[:, np.arange(length), codes]
        expected += weight * probabilities @ (length * (losses * masks).sum(axis=1) / sizes)
    keys = jax.random.split(jax.random.key(0), 20_000)
    losses = np.asarray(call_each(prior.loss, (None, 0, None, None), params, keys, codes, np.int32(1)), np.float64)
    error = losses.std() / np.sqrt(len(keys))
    assert error < 0.02 * expected
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(losses.mean() - expected) < 5 * error


# ----------------------------------------------------------------------------------------------------------- decoding


def test_the_numbers_of_masked_places_follow_the_cosine():
    # floor(64 cos(pi t / 16)).
    assert masking_schedule(64, 8) == (62, 59, 53, 45, 35, 24, 12, 0)
    # 4 cos(pi t / 8) is 3.7, 2.8, 1.5, 0, and every step decodes at least one place.
    assert masking_schedule(4, 4) == (3, 2, 1, 0)
    assert masking_schedule(5, 1) == (0,)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 64])
def test_every_step_decodes_at_least_one_place_and_the_last_all(length):
    for steps in range(1, length + 1):
        numbers = (length, *masking_schedule(length, steps))
        assert len(numbers) == steps + 1 and numbers[-1] == 0
        assert all(after < before for before, after in itertools.pairwise(numbers))


@pytest.mark.slow
def test_every_place_is_decoded_exactly_once_and_no_mask_is_left():
    # The logits depend on the tokens, so that a place decoded twice would change its code.
    network = bidirectional_transformer(K, T, 0, **SIZES)
    params, numbers = random_params(network.init, deviation=0.3), masking_schedule(T, 5)
    logits = lambda tokens: network.logits(params, tokens, jnp.int32(0))
    draw = lambda key, logits: jax.random.categorical(key, logits)
    decode = jax.jit(jax.vmap(lambda key: decode_masked(logits, draw, key, T, K, numbers, 4.5)))
    traces = np.asarray(decode(jax.random.split(jax.random.key(0), 50)))
    assert traces.shape == (50, 5, T)
    np.testing.assert_array_equal((traces == K).sum(axis=2), np.tile(numbers, (50, 1)))
    before, after = traces[:, :-1], traces[:, 1:]
    np.testing.assert_array_equal(after[before != K], before[before != K])
    assert traces[:, -1].min() == 0 and traces[:, -1].max() == K - 1


def test_without_noise_the_most_confident_places_come_first():
    # Code 0 is drawn everywhere, with a confidence that rises to the right; 2 places are masked after the first step.
    logits = jnp.stack([jnp.arange(1.0, 5.0), jnp.zeros(4)], axis=1)
    draw = lambda key, logits: jnp.argmax(logits).astype(jnp.int32)
    trace = decode_masked(lambda tokens: logits, draw, jax.random.key(0), 4, 2, masking_schedule(4, 2), 0.0)
    np.testing.assert_array_equal(trace, [[2, 2, 0, 0], [0, 0, 0, 0]])


def test_the_confidence_noise_is_gumbel_with_half_the_scale_in_the_first_of_two_steps():
    # The first of two steps decodes the place with the highest confidence c_i + 3 (1 - 1/2) g_i: place i with
    # probability softmax(c / 1.5)_i.
    logits = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    draw = lambda key, logits: jnp.argmax(logits).astype(jnp.int32)
    first = jax.jit(jax.vmap(lambda key: decode_masked(lambda tokens: logits, draw, key, 3, 2, (2, 0), 3.0)[0] != 2))(
        jax.random.split(jax.random.key(0), 20_000)
    )
    confidence = np.log(scipy.special.expit([0.0, 1.0, 3.0]))
    expected = 20_000 * scipy.special.softmax(confidence / 1.5)
    # Fails once in 10,000 seeds.
    assert scipy.stats.chisquare(np.asarray(first).sum(axis=0), expected).pvalue > 1e-4


@pytest.mark.slow
def test_with_one_step_every_code_is_drawn_from_the_logits_of_a_fully_masked_input():
    network, prior = bidirectional_transformer(3, 2, 0, **SIZES), masked_prior(3, 2, 0, **SIZES, steps=1)
    params = random_params(prior.init, deviation=0.3)
    logits = np.asarray(call(network.logits, params, jnp.full(2, 3), jnp.int32(0)), np.float64)
    p = scipy.special.softmax(logits, axis=1)
    draws = samples(prior, params, None, Sampling(), 20_000)
    counts = np.bincount(draws @ [3, 1], minlength=9)
    # Fails once in 10,000 seeds.
    assert scipy.stats.chisquare(counts, 20_000 * np.outer(p[0], p[1]).ravel()).pvalue > 1e-4


@pytest.mark.slow
def test_a_prior_trained_on_a_pattern_per_class_decodes_the_patterns():
    prior = masked_prior(4, 9, 2, layers=1, width=16, heads=4, steps=3, label_dropout=0.0)
    params = fitted_to_patterns(prior)
    keys = jax.random.split(jax.random.key(3), 200)
    for label, pattern in enumerate(PATTERNS):
        losses = call_each(prior.loss, (None, 0, None, None), params, keys, pattern, np.int32(label))
        assert 0 < np.mean(losses) < 0.05
    assert_samples_are_patterns(prior, params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"steps must be in \[1, length\] = \[1, 4\], got 0"),
        ({"steps": 5}, r"steps must be in \[1, length\] = \[1, 4\], got 5"),
        ({"confidence_noise": -1.0}, "confidence_noise must be a finite number of at least 0, got -1.0"),
        ({"confidence_noise": float("nan")}, "confidence_noise must be a finite number of at least 0, got nan"),
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"num_codes": (3, 4)}, "num_codes must be one number, or one for each of 4 places, got 2 numbers"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads = 4, got 10"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        masked_prior(**{"num_codes": 4, "length": 4, "steps": 2, **arguments})


@pytest.mark.slow
def test_with_a_number_of_codes_per_place_only_codes_of_the_place_are_decoded():
    sizes = (1, 4, 2, 4)
    prior = masked_prior(sizes, 4, layers=1, width=8, heads=2, steps=2)
    params = random_params(prior.init)
    draws = samples(prior, params, None, Sampling(), 300)
    np.testing.assert_array_equal(draws.max(0), np.array(sizes) - 1)
    assert np.isfinite(call(prior.loss, params, jax.random.key(0), draws[0], np.int32(0)))


def test_there_is_no_exact_likelihood():
    assert masked_prior(4, 4, steps=2).log_prob is None
