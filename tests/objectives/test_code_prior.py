import jax
import numpy as np
import pytest

from models.code_priors.tiny_priors import call, call_each, random_params
from vae_jax.models import Example, masked_prior, transformer_prior
from vae_jax.objectives import code_prior_loss, mean_over_batch

K, T, SIZES = 5, 6, {"layers": 1, "width": 8, "heads": 2}
CODES = np.random.default_rng(0).integers(0, K, (4, T)).astype(np.int32)
LABELS = np.array([0, 1, 2, 0], np.int32)


def loss_and_metrics(prior, params, batch):
    loss, aux = jax.jit(code_prior_loss, static_argnums=0)(prior, params, jax.random.key(0), batch)
    return loss, aux.metrics


def test_without_classes_it_is_the_mean_of_minus_log_p_and_bits_a_code():
    prior = transformer_prior(K, T, **SIZES)
    params = random_params(prior.init)
    loss, metrics = loss_and_metrics(prior, params, CODES)
    expected = -np.mean(call_each(prior.log_prob, (None, 0, None), params, CODES, np.int32(0)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_code"], expected / T / np.log(2), rtol=1e-5)


def test_a_class_conditional_prior_is_trained_on_examples_of_codes_and_label():
    prior = transformer_prior(K, T, 3, label_dropout=0.0, **SIZES)
    params = random_params(prior.init)
    loss, _ = loss_and_metrics(prior, params, Example(CODES, LABELS))
    each = call_each(prior.log_prob, (None, 0, 0), params, CODES, LABELS)
    np.testing.assert_allclose(loss, -np.mean(each), rtol=1e-5)
    others = call_each(prior.log_prob, (None, 0, 0), params, CODES, (LABELS + 1) % 3)
    assert np.abs(each - others).max() > 0.2
    with pytest.raises(TypeError, match=r"a prior with num_classes = 3 is trained on Example\(codes, labels\)"):
        loss_and_metrics(prior, params, CODES)
    unconditional = transformer_prior(K, T, **SIZES)
    with pytest.raises(TypeError, match="a prior with num_classes = 0 is trained on codes without labels"):
        loss_and_metrics(unconditional, random_params(unconditional.init), Example(CODES, LABELS))
    assert isinstance(code_prior_loss, mean_over_batch)


def test_what_bounds_nothing_has_another_name():
    prior = masked_prior(K, T, steps=2, **SIZES)
    params = random_params(prior.init)
    assert set(loss_and_metrics(prior, params, CODES)[1]) == {"masked_bits_per_code"}
    assert np.isfinite(call(prior.loss, params, jax.random.key(0), CODES[0], np.int32(0)))
