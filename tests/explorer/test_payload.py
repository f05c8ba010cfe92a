"""Payload of the explorer's page: its content and encoding."""

import base64
import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from fresh import some_params
from vae_jax.distributions import MultivariateNormal
from vae_jax.evaluation import kl_per_dimension, posterior_means
from vae_jax.explorer import payload_of
from vae_jax.explorer._codes import Layer, layers_of
from vae_jax.explorer._vectors import vector_space
from vae_jax.models import hierarchical_vae, mlp_vae, posteriors, vae, with_mixture_prior
from vae_jax.models._codes import Level
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.quantizers import product_quantizer, vector_quantizer

KEY = jax.random.key(0)
WORDS = {"title": "VAE", "data": "blobs", "key": KEY}


def unpacked(packed):
    data = gzip.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, np.dtype(packed["dtype"]).newbyteorder("<")).reshape(packed["shape"])


@pytest.fixture(scope="module")
def small():
    model = mlp_vae((4, 6, 1), 3, hidden=(8,))
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 6, 1), np.uint8)
    return model, some_params(model), images


def test_the_space_is_what_evaluation_measures_on_the_images(small):
    model, params, images = small
    xs = (images / np.float32(255)).astype(np.float32)
    payload = payload_of(model, params, xs, labels=np.arange(20), **WORDS)
    np.testing.assert_array_equal(payload.images, images)
    space = payload.space
    np.testing.assert_allclose(space.means, posterior_means(model, params, xs), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(space.kl, kl_per_dimension(model, params, xs), rtol=1e-5)
    posterior = jax.vmap(lambda x: model.encode(params, x))(xs)
    np.testing.assert_allclose(space.standard_deviations, np.exp(0.5 * posterior.log_variance), rtol=1e-5)
    assert (space.prior, space.draws) == ("Normal", None)
    np.testing.assert_array_equal(space.prior_standard_deviation, np.ones(3))
    json_of = json.loads(json.dumps(payload.as_json(), allow_nan=False))
    np.testing.assert_array_equal(unpacked(json_of["images"]), images)
    np.testing.assert_array_equal(unpacked(json_of["space"]["means"]), space.means)
    assert json_of["labels"] == list(range(20))


def test_the_networks_in_it_are_the_models(small):
    model, params, images = small
    payload = payload_of(model, params, images / np.float32(255), **WORDS)
    encoder, decoder = (onnxruntime.InferenceSession(each) for each in (payload.encoder, payload.decoder))
    mean, deviation = encoder.run(["mean", "standard_deviation"], {"x": images / np.float32(255)})
    np.testing.assert_allclose(mean, payload.space.means, atol=1e-5)
    np.testing.assert_allclose(deviation, payload.space.standard_deviations, atol=1e-5)
    expected = jax.vmap(lambda z: model.decode(params, z).mean)(mean)
    np.testing.assert_allclose(decoder.run(["mean"], {"z": mean})[0], expected, atol=1e-5)


def test_raw_pixels_are_shown_and_encoded_where_they_are_given(small):
    model, params, images = small
    bits = (images > 127).astype(np.float32)
    np.testing.assert_array_equal(payload_of(model, params, bits, **WORDS).images, 255 * bits)
    payload = payload_of(model, params, bits, raw=images, **WORDS)
    np.testing.assert_array_equal(payload.images, images)
    expected = posterior_means(model, params, images / np.float32(255))
    np.testing.assert_allclose(payload.space.means, expected, rtol=1e-5, atol=1e-6)


def test_facts_are_shown_as_they_are_given_and_are_safe_to_show(small):
    model, params, images = small
    facts = [("negative ELBO", "160.25", "nats per image"), ("note", "a\x1bb", "")]
    payload = payload_of(model, params, images / np.float32(255), facts=facts, **WORDS)
    assert payload.as_json()["facts"] == [
        {"name": "negative ELBO", "value": "160.25", "unit": "nats per image"},
        {"name": "note", "value": r"a\x1bb", "unit": ""},
    ]


def test_a_prior_that_is_not_a_normal_is_stored_as_samples(small):
    model, _, images = small
    model = with_mixture_prior(model, 3, 4)
    payload = payload_of(model, some_params(model), images / np.float32(255), **WORDS)
    assert payload.space.prior == "Mixture"
    assert payload.space.kl is None
    assert payload.space.draws.shape == (128, 3)
    # Samples and moments agree within five standard errors.
    error = payload.space.prior_standard_deviation / np.sqrt(128)
    assert (np.abs(payload.space.draws.mean(axis=0) - payload.space.prior_mean) < 5 * error).all()


@pytest.mark.slow
def test_a_full_covariance_has_standard_deviations_and_as_a_prior_is_stored_as_samples():
    posterior = posteriors.full_covariance(2)
    model = vae(mlp_encoder((4, 4, 1), 5, (8,)), mlp_decoder(2, (4, 4, 1, 1), (8,)), posterior)
    factor = jnp.array([[2.0, 0.0], [-1.2, 0.5]])
    params, xs = some_params(model), np.random.default_rng(0).uniform(size=(20, 4, 4, 1)).astype(np.float32)
    space = vector_space(model, params, xs, jax.random.key(0))
    factors = np.asarray(jax.vmap(lambda x: model.encode(params, x).scale_tril)(xs), np.float64)
    variances = np.einsum("nij,nij->ni", factors, factors)
    np.testing.assert_allclose(space.standard_deviations, np.sqrt(variances), rtol=1e-5)
    assert (space.prior, space.kl, space.draws) == ("Normal", None, None)
    correlated = model._replace(prior=lambda params: MultivariateNormal(jnp.ones(2), factor))
    space = vector_space(correlated, params, xs, jax.random.key(0))
    assert (space.prior, space.draws.shape) == ("MultivariateNormal", (128, 2))
    # Moments are of 4096 draws: five standard errors.
    np.testing.assert_allclose(space.prior_mean, [1.0, 1.0], atol=5 * 2 / 64)
    np.testing.assert_allclose(space.prior_standard_deviation, [2.0, 1.3], rtol=5 / np.sqrt(2 * 4096))
    assert np.corrcoef(space.draws.T)[0, 1] < -0.8  # -0.92: five standard errors are 0.07


def test_layers_give_the_positions_of_their_indices_in_the_sequence():
    fine = Level("level_1", vector_quantizer(5, 2), (4, 3))
    coarse = Level("level_2", product_quantizer(vector_quantizer(7, 2), 2), (2, 3))
    layers = layers_of((fine, coarse))
    assert layers == (
        Layer("grid 1, part 1", 2, 3, 7, 0, 2),
        Layer("grid 1, part 2", 2, 3, 7, 1, 2),
        Layer("grid 2", 4, 3, 5, 12, 1),
    )
    sequence = np.arange(24)
    np.testing.assert_array_equal(np.sort(np.concatenate([sequence[layer.places] for layer in layers])), sequence)


def test_usage_and_swatches_of_codes_are_of_the_images(codes):
    space = codes.payload.space
    grids = space.indices.reshape(40, 12, 2)
    for part, counts in enumerate(space.usage):
        np.testing.assert_array_equal(counts, [np.sum(grids[..., part] == k) for k in range(6)])
    assert space.swatches.shape == (12, 4, 4, 1)
    common = [int(np.argmax(counts)) for counts in space.usage]
    sequence = np.tile([4, common[1]], 12).astype(np.int32)
    z = codes.model.prior(codes.params).lookup(sequence)
    picture = np.asarray(codes.model.decode(codes.params, z).mean)[1:5, 2:6]
    np.testing.assert_allclose(space.swatches[4], 255 * picture, atol=0.51)
    assert space.draws.shape == (128, 24)
    assert set(np.unique(space.draws)) == set(range(6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xs": np.zeros((3, 4, 6), np.float32)}, r"xs must be images \[N, H, W, C\] with C 1 or 3, got shape"),
        ({"xs": np.full((3, 4, 6, 1), 2.0, np.float32)}, r"xs must be in \[0, 1\], got numbers from 2.0 to 2.0"),
        ({"raw": np.zeros((3, 4, 6, 1), np.float32)}, "raw must be uint8 of the shape of xs"),
        ({"labels": [1]}, "labels must hold one label for each of the 20 images, got 1 labels"),
    ],
)
def test_other_images_are_refused(small, change, words):
    model, params, images = small
    with pytest.raises(ValueError, match=words):
        payload_of(model, params, **{"xs": images / np.float32(255)} | change, **WORDS)


def test_a_z_of_several_vectors_is_refused(small):
    images = small[2]
    encoders = mlp_encoder((4, 6, 1), 6, (4,)), mlp_encoder((3,), 4, (4,))
    model = hierarchical_vae(encoders, [mlp_encoder((2,), 6, (4,))], mlp_decoder(3, (4, 6, 1, 1), (4,)), 2)
    with pytest.raises(
        ValueError, match="z that is one vector, or codes on grids, to be explored, got an encoder with outputs z0, z1"
    ):
        payload_of(model, some_params(model), images / np.float32(255), **WORDS)
