import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.references import convolution, perturbed, residual_layers, transposed_convolution
from vae_jax.networks import residual_decoder, residual_encoder


@pytest.mark.slow
def test_the_encoder_agrees_with_layers_by_xlas_convolutions_and_gives_all_means_first():
    network = residual_encoder((8, 12, 3), 2, channels=(4, 6), residual_hidden=3)
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (8, 12, 3))
    h = jax.nn.relu(convolution(x, params["conv_0"], 2))
    h = jax.nn.relu(convolution(h, params["conv_1"], 2))
    h = residual_layers(jax.nn.relu(convolution(h, params["features"])), params["residual"], 2)
    expected = convolution(h, params["output"])
    outputs = jax.jit(network.apply)(params, x)
    mean, log_variance = jnp.split(outputs, 2)
    np.testing.assert_allclose(mean.reshape(2, 3, 2), expected[..., :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_variance.reshape(2, 3, 2), expected[..., 2:], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_decoder_agrees_with_layers_by_xlas_convolutions():
    network = residual_decoder(2, (8, 12, 3, 2), channels=(4, 6), residual_hidden=3)
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    z = jax.random.normal(jax.random.key(1), (12,))
    h = residual_layers(convolution(z.reshape(2, 3, 2), params["features"]), params["residual"], 2)
    h = jax.nn.relu(transposed_convolution(h, params["conv_0"]))
    expected = transposed_convolution(h, params["output"]).reshape(8, 12, 3, 2)
    np.testing.assert_allclose(jax.jit(network.apply)(params, z), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_initial_output_bias_is_the_mean_over_the_places():
    bias = np.random.default_rng(0).normal(size=(4, 8, 3, 2)).astype(np.float32)
    network = residual_decoder(2, (4, 8, 3, 2), channels=(4, 6), residual_hidden=3, output_bias=bias)
    params = jax.jit(network.init)(jax.random.key(0))
    expected = bias.astype(np.float64).mean(axis=(0, 1)).ravel()
    np.testing.assert_allclose(params["output"]["bias"], expected, rtol=1e-5)


def test_parameters_are_those_of_the_published_network():
    encoder = jax.eval_shape(residual_encoder((32, 32, 3), 64).init, jax.random.key(0))
    shapes = {"/".join(str(k.key) for k in path): leaf.shape for path, leaf in jax.tree.leaves_with_path(encoder)}
    kernels = {path.removesuffix("/kernel"): shape for path, shape in shapes.items() if path.endswith("kernel")}
    assert kernels == {
        "conv_0": (4, 4, 3, 64),
        "conv_1": (4, 4, 64, 128),
        "features": (3, 3, 128, 128),
        "residual/reduce_0": (3, 3, 128, 32),
        "residual/expand_0": (1, 1, 32, 128),
        "residual/reduce_1": (3, 3, 128, 32),
        "residual/expand_1": (1, 1, 32, 128),
        "output": (1, 1, 128, 128),
    }


def test_a_size_that_cannot_be_halved_is_refused():
    for call in (lambda: residual_encoder((2, 32, 3), 4), lambda: residual_decoder(4, (32, 1, 3, 1))):
        with pytest.raises(ValueError, match="cannot be halved 2 times: height and width must be above 2"):
            call()


@pytest.mark.slow
def test_sizes_that_are_not_multiples_of_the_halvings_are_padded_and_cropped():
    options = {"channels": (4, 6), "residual_hidden": 3, "residual_layers": 1}
    encoder, padded_encoder = (residual_encoder((*size, 1), 2, **options) for size in ((7, 9), (8, 12)))
    params = perturbed(jax.jit(encoder.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (7, 9, 1))
    padded = np.pad(x, ((0, 1), (0, 3), (0, 0)))
    codes = jax.jit(encoder.apply)(params, x)
    np.testing.assert_array_equal(codes, jax.jit(padded_encoder.apply)(params, padded))
    decoder, uncropped_decoder = (residual_decoder(4, (*size, 1, 2), **options) for size in ((7, 9), (8, 12)))
    params = perturbed(jax.jit(decoder.init)(jax.random.key(0)))
    outputs = jax.jit(decoder.apply)(params, codes)
    assert outputs.shape == (7, 9, 1, 2)
    np.testing.assert_array_equal(outputs, jax.jit(uncropped_decoder.apply)(params, codes)[:7, :9])
