"""Tests of the encoder that sums over observed entries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import models
from vae_jax.models import Example, likelihoods, with_missing
from vae_jax.networks import mlp_decoder, observed_sum_encoder
from vae_jax.objectives import negative_iwae

NETWORK = observed_sum_encoder(5, 3, (7,), embedding_dim=2, features=6)
PARAMS = jax.tree.map(
    lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), NETWORK.init(jax.random.key(0))
)
X, OBSERVED = jnp.array([0.3, -1.2, 2.0, 0.7, -0.4]), jnp.array([True, False, True, True, False])


def test_it_is_the_network_of_a_sum_over_the_observed_entries():
    p = jax.tree.map(np.asarray, PARAMS)
    total = np.zeros(6)
    for i in (0, 2, 3):
        entry = np.concatenate([[X[i]], X[i] * p["embedding"][i], p["embedding"][i]])
        total += np.maximum(entry @ p["entry"]["kernel"] + p["entry"]["bias"], 0)
    hidden = np.maximum(total @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"], 0)
    expected = hidden @ p["output"]["kernel"] + p["output"]["bias"]
    np.testing.assert_allclose(NETWORK.apply(PARAMS, (X, OBSERVED)), expected, rtol=1e-5)


def test_permuting_entries_with_their_embeddings_changes_nothing():
    order = np.array([3, 0, 4, 1, 2])
    permuted = {**PARAMS, "embedding": PARAMS["embedding"][order]}
    own, other = NETWORK.apply(PARAMS, (X, OBSERVED)), NETWORK.apply(permuted, (X[order], OBSERVED[order]))
    np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    assert np.abs(own - NETWORK.apply(PARAMS, (X[order], OBSERVED[order]))).max() > 0.01


def test_hidden_entries_have_no_influence_on_outputs_and_gradients():
    loss = lambda params, x: jnp.sum(jnp.square(NETWORK.apply(params, (x, OBSERVED))))
    value_and_gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    expected, (of_params, of_x) = value_and_gradients(PARAMS, X)
    for hidden in (np.nan, 1e30):
        value, (gradient, _) = value_and_gradients(PARAMS, jnp.where(OBSERVED, X, hidden))
        np.testing.assert_array_equal(value, expected)
        jax.tree.map(np.testing.assert_array_equal, gradient, of_params)
    np.testing.assert_array_equal(np.asarray(of_x)[~np.asarray(OBSERVED)], 0)
    assert np.all(np.asarray(of_x)[np.asarray(OBSERVED)] != 0)


def test_a_model_of_rows_encodes_them_with_it():
    decoder = mlp_decoder(1, (5, 2), (4,))
    vae = models.gaussian_vae(observed_sum_encoder(5, 2, (4,)), decoder, 1, likelihoods.normal)
    model = with_missing(vae, models.observed_entries)
    params = model.init(jax.random.key(1))
    x, observed = np.where(OBSERVED, X, np.nan), np.asarray(OBSERVED)
    loss, _ = negative_iwae(3)(model, params, jax.random.key(2), Example(x[None], observed[None]))
    row = {"b": jnp.arange(2), "a": jnp.full((2, 1), 0.5)}
    values, seen = models.observed_entries(row, {"b": jnp.array([1, 0]), "a": jnp.array([[0], [1]])})
    np.testing.assert_array_equal(values, [0.5, 0.5, 0, 1])
    np.testing.assert_array_equal(seen, [False, True, True, False])
    assert np.isfinite(loss)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="num_entries must be at least 1, got 0"):
        observed_sum_encoder(0, 3)
    with pytest.raises(ValueError, match=r"observed.*\(5,\).*\(4,\)"):
        NETWORK.apply(PARAMS, (X, OBSERVED[:4]))
