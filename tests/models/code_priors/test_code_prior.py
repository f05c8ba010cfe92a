"""Properties of all priors over codes, and tests of their shared functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.code_priors.tiny_priors import call, call_each, draw_each, random_params
from vae_jax.models import Sampling, masked_prior, pixel_cnn_prior, transformer_prior, uncached_transformer_prior
from vae_jax.models.code_priors._code_prior import (
    check_guidance,
    checked_codes,
    checked_label,
    draw_code,
    drop_label,
    guidance_labels,
    guided_logits,
)

K, GRID, T, CLASSES = 5, (2, 3), 6, 3
TRANSFORMER = {"layers": 1, "width": 8, "heads": 2}


def members(num_classes, **arguments):
    return {
        "transformer": transformer_prior(K, T, num_classes, **TRANSFORMER, **arguments),
        "pixel_cnn": pixel_cnn_prior(K, GRID, num_classes, layers=2, channels=4, **arguments),
        "masked": masked_prior(K, T, num_classes, **TRANSFORMER, steps=3, **arguments),
    }


CONDITIONAL, UNCONDITIONAL = members(CLASSES), members(0)
all_priors = pytest.mark.parametrize("name", CONDITIONAL)
CODES = np.random.default_rng(0).integers(0, K, (4, T)).astype(np.int32)
LABELS = np.array([0, 1, 2, 3], np.int32)  # 3 is "no label"
KEYS = jax.random.split(jax.random.key(5), 4)
GUIDED = Sampling(guidance=8.0)


# --------------------------------------------------------------------------------------------------------- all priors


@pytest.mark.slow
@all_priors
def test_mapped_densities_and_losses_equal_a_loop(name):
    prior = CONDITIONAL[name]
    params = random_params(prior.init)
    mapped = call_each(prior.loss, (None, 0, 0, 0), params, KEYS, CODES, LABELS)
    assert mapped.dtype == jnp.float32
    loop = [call(prior.loss, params, *inputs) for inputs in zip(KEYS, CODES, LABELS, strict=True)]
    np.testing.assert_allclose(mapped, np.array(loop), rtol=1e-5)
    if prior.log_prob is not None:
        mapped = call_each(prior.log_prob, (None, 0, 0), params, CODES, LABELS)
        loop = [call(prior.log_prob, params, *inputs) for inputs in zip(CODES, LABELS, strict=True)]
        np.testing.assert_allclose(mapped, np.array(loop), rtol=1e-5)


@pytest.mark.slow
@all_priors
def test_a_sample_depends_on_its_key_and_label_only_and_guidance_changes_labeled_samples(name):
    prior = CONDITIONAL[name]
    params, keys, labels = random_params(prior.init), jax.random.split(jax.random.key(6), 32), np.tile(LABELS, 8)
    plain, guided = (np.asarray(draw_each(prior, s, params, keys, labels)) for s in (Sampling(), GUIDED))
    assert plain.dtype == np.int32
    assert np.unique(plain).size == K and plain.min() == 0 and plain.max() == K - 1
    # A sample does not depend on the other samples of the batch.
    order = np.random.default_rng(0).permutation(32)
    np.testing.assert_array_equal(draw_each(prior, GUIDED, params, keys[order], labels[order]), guided[order])
    assert np.any(plain[labels < CLASSES] != guided[labels < CLASSES])
    # Guidance has no effect without a label.
    np.testing.assert_array_equal(plain[labels == CLASSES], guided[labels == CLASSES])


@all_priors
def test_zero_parameters_predict_the_uniform_distribution(name):
    prior = CONDITIONAL[name]
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(prior.init, KEYS[0]))
    losses = call_each(prior.loss, (None, 0, 0, 0), params, KEYS, CODES, LABELS)
    np.testing.assert_allclose(losses, np.full(4, T * np.log(K)), rtol=1e-5)


@pytest.mark.slow
@all_priors
def test_the_loss_has_finite_gradients_that_reach_every_parameter(name):
    prior = CONDITIONAL[name]
    params = random_params(prior.init)
    mean = lambda params: jnp.mean(jax.vmap(prior.loss, (None, 0, 0, 0))(params, KEYS, CODES, LABELS))
    gradients = jax.jit(jax.grad(mean))(params)
    assert all(np.all(np.isfinite(g)) and np.any(g != 0) for g in jax.tree.leaves(gradients))


def test_none_is_the_last_label():
    prior = CONDITIONAL["transformer"]
    params = random_params(prior.init)
    assert call(prior.log_prob, params, CODES[0], None) == call(prior.log_prob, params, CODES[0], CLASSES)


@all_priors
def test_bad_codes_labels_and_sampling_settings_are_refused(name):
    prior, unconditional = CONDITIONAL[name], UNCONDITIONAL[name]
    params = random_params(prior.init)
    for codes, error, message in [
        (CODES, ValueError, r"codes must be those of one image, .* shape \[T\] = \(6,\).* got shape \(4, 6\)"),
        (CODES[0][:-1], ValueError, r"codes must be those of one image.* got shape \(5,\)"),
        (CODES[0].astype(np.float32), TypeError, "codes must be integers, got dtype float32"),
    ]:
        with pytest.raises(error, match=message):
            prior.loss(params, KEYS[0], codes, 0)
        if prior.log_prob is not None:
            with pytest.raises(error, match=message):
                prior.log_prob(params, codes, 0)
    with pytest.raises(ValueError, match=r"label must be in \[0, num_classes\] = \[0, 3\], got 4"):
        prior.loss(params, KEYS[0], CODES[0], 4)
    with pytest.raises(ValueError, match=r"label must be in \[0, num_classes\] = \[0, 0\], got 1"):
        unconditional.sample(random_params(unconditional.init), KEYS[0], 1, Sampling())
    for sampling, message in [
        (Sampling(temperature=-1.0), "temperature must be at least 0, got -1.0"),
        (Sampling(top_k=0), r"top_k must be in \[1, K\] = \[1, 5\], got 0"),
        (Sampling(top_k=6), r"top_k must be in \[1, K\] = \[1, 5\], got 6"),
        (Sampling(top_p=0.0), r"top_p must be in \(0, 1\], got 0.0"),
        (Sampling(guidance=-1.0), "guidance must be a finite number of at least 0, got -1.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            prior.sample(params, KEYS[0], 0, sampling)
    with pytest.raises(ValueError, match="guidance must be 0 for an unconditional prior"):
        unconditional.sample(random_params(unconditional.init), KEYS[0], None, Sampling(guidance=1.0))


@all_priors
def test_densities_are_nan_for_a_traced_label_out_of_range(name):
    prior = members(CLASSES, label_dropout=0.0)[name]
    params = random_params(prior.init)
    loss = lambda params, codes, label: prior.loss(params, KEYS[0], codes, label)
    function = prior.log_prob or loss
    values = call_each(function, (None, None, 0), params, CODES[0], jnp.asarray([-1, 0, CLASSES, CLASSES + 1]))
    np.testing.assert_array_equal(np.isnan(values), [True, False, False, True])
    drawn = draw_each(prior, Sampling(top_k=2), params, KEYS, jnp.asarray([-1, 0, CLASSES, CLASSES + 1]))
    np.testing.assert_array_equal(drawn[jnp.asarray([0, 3])], np.full((2, T), K))  # K is not a code
    assert (drawn[1:3] < K).all()


@pytest.mark.parametrize("label_dropout", [-0.1, 1.0])
def test_a_label_dropout_outside_its_range_is_refused(label_dropout):
    message = rf"label_dropout must be in \[0, 1\), got {label_dropout}"
    for build in (
        lambda: transformer_prior(K, T, label_dropout=label_dropout),
        lambda: uncached_transformer_prior(K, T, label_dropout=label_dropout),
        lambda: pixel_cnn_prior(K, GRID, label_dropout=label_dropout),
        lambda: masked_prior(K, T, steps=2, label_dropout=label_dropout),
    ):
        with pytest.raises(ValueError, match=message):
            build()


# ----------------------------------------------------------------------------------------------------- shared functions


def test_labels_are_indices_and_none_is_the_last():
    assert [int(checked_label(label, 3)) for label in (0, 3, np.int64(2), jnp.uint8(1), None)] == [0, 3, 2, 1, 3]
    assert checked_label(np.int64(2), 3).dtype == jnp.int32
    traced = jax.vmap(lambda label: checked_label(label, 3))(jnp.asarray([-2, 0, 3, 9]))
    np.testing.assert_array_equal(traced, [4, 0, 3, 9])  # 4 and 9 are past the end of a table of 4 rows
    with pytest.raises(TypeError, match="label must be an integer, got dtype float32"):
        checked_label(1.0, 3)
    with pytest.raises(ValueError, match=r"label must be a scalar .* got shape \(2,\)"):
        checked_label(np.zeros(2, np.int32), 3)


def test_uint8_codes_become_int32():
    codes = checked_codes(np.array([0, 255], np.uint8), 2)
    assert codes.dtype == jnp.int32
    np.testing.assert_array_equal(codes, [0, 255])


def test_a_label_is_dropped_with_its_probability():
    keys = jax.random.split(jax.random.key(0), 20_000)
    labels = np.asarray(jax.vmap(lambda key: drop_label(key, jnp.int32(1), 3, 0.1))(keys))
    assert set(labels) == {1, 3}
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(np.mean(labels == 3) - 0.1) < 5 * np.sqrt(0.09 / len(keys))
    assert drop_label(keys[0], jnp.int32(0), 0, 0.99) == 0


def test_guidance_combines_the_logits_with_and_without_a_label():
    np.testing.assert_array_equal(guidance_labels(1, Sampling(), 3), [1])
    np.testing.assert_array_equal(guidance_labels(1, Sampling(guidance=2.0), 3), [1, 3])
    logits = jnp.asarray([[1.0, 2.0], [0.5, 3.0]])
    np.testing.assert_allclose(guided_logits(logits, Sampling(guidance=2.0)), [2.0, 0.0])
    np.testing.assert_array_equal(guided_logits(logits[:1], Sampling()), [1.0, 2.0])
    with pytest.raises(ValueError, match="guidance must be a finite number of at least 0, got inf"):
        check_guidance(float("inf"), 3)


def test_codes_are_drawn_after_temperature_top_k_and_top_p():
    # 0.1, 0.4, 0.2, 0.3 squared are 1, 16, 4, 9 of 30; top_k keeps 16, 4, 9 of 29; top_p keeps 16 and 9.
    logits = jnp.log(jnp.asarray([0.1, 0.4, 0.2, 0.3]))
    sampling = Sampling(temperature=0.5, top_k=3, top_p=0.8)
    draws = jax.vmap(lambda key: draw_code(key, logits, sampling))(jax.random.split(jax.random.key(0), 20_000))
    assert draws.dtype == jnp.int32
    counts = np.bincount(draws, minlength=4)
    assert counts[0] == counts[2] == 0
    p = 16 / 25
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(counts[1] / 20_000 - p) < 5 * np.sqrt(p * (1 - p) / 20_000)
    best = jax.vmap(lambda key: draw_code(key, logits, Sampling(0.0)))(jax.random.split(jax.random.key(1), 100))
    np.testing.assert_array_equal(best, np.ones(100))
