"""Tests of `with_preprocessing`; scheduled objectives with preprocessing are in test_scheduled.py."""

import jax
import jax.numpy as jnp
import numpy as np

from objectives.linear_gaussian import exact_params, examples, linear_gaussian
from vae_jax.models import Example
from vae_jax.objectives import negative_elbo, with_preprocessing


def test_the_objective_gets_preprocessed_pixels_and_an_independent_key():
    seen = {}

    def objective(model, params, key, batch):
        seen.update(model=model, params=params, key=key, batch=batch)
        return jnp.sum(batch), "aux"

    def prepare(key, batch):
        seen["prepare_key"] = key
        return batch.astype(jnp.float32) / 255

    key = jax.random.key(3)
    pixels = np.array([[0, 51], [255, 102]], np.uint8)
    loss, aux = with_preprocessing(objective, prepare)("model", "params", key, pixels)
    np.testing.assert_allclose(seen["batch"], [[0.0, 0.2], [1.0, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(loss, 1.6, rtol=1e-6)
    assert (aux, seen["model"], seen["params"]) == ("aux", "model", "params")
    # Three different keys: noise in the pixels must not be the noise in the code.
    assert len({jax.random.key_data(k).tobytes() for k in (key, seen["key"], seen["prepare_key"])}) == 3


def test_it_is_the_objective_of_the_preprocessed_batch():
    model, params, batch = linear_gaussian(), exact_params(), examples(3)
    key = jax.random.key(1)
    shift = lambda key, xs: xs + jax.random.normal(key, xs.shape)
    actual, _ = with_preprocessing(negative_elbo, shift)(model, params, key, batch)
    prepare_key, objective_key = jax.random.split(key)
    expected, _ = negative_elbo(model, params, objective_key, shift(prepare_key, batch))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_only_x_of_an_example_is_preprocessed_and_the_context_is_unchanged():
    seen = {}

    def objective(model, params, key, batch):
        seen.update(key=key, batch=batch)
        return jnp.zeros(()), "aux"

    key, pixels, labels = jax.random.key(3), np.array([[0, 51], [255, 102]], np.uint8), np.array([4, 1])
    noisy = lambda key, xs: xs / 255 + jax.random.normal(key, xs.shape)
    # Two nested preprocessings have different keys.
    with_preprocessing(with_preprocessing(objective, noisy), noisy)("model", "params", key, Example(pixels, labels))
    first_key, rest = jax.random.split(key)
    second_key, rest = jax.random.split(rest)
    np.testing.assert_allclose(seen["batch"].x, noisy(second_key, noisy(first_key, pixels)), rtol=1e-6)
    assert seen["batch"].context is labels
    assert (jax.random.key_data(seen["key"]) == jax.random.key_data(rest)).all()
