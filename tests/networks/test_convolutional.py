import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.references import convolution, dense, perturbed, transposed_convolution
from vae_jax.networks import conv_decoder, conv_encoder


def paths_and_shapes(params):
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


@pytest.mark.slow
@pytest.mark.parametrize("kernel_sizes", [None, (4, 2)])
def test_the_encoder_agrees_with_layers_by_xlas_convolutions(kernel_sizes):
    network = conv_encoder((8, 12, 3), 6, channels=(4, 5), hidden=7, kernel_sizes=kernel_sizes)
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (8, 12, 3))
    h = jax.nn.relu(convolution(x, params["conv_0"], 2))
    h = jax.nn.relu(convolution(h, params["conv_1"], 2))
    expected = dense(jax.nn.relu(dense(h.ravel(), params["hidden"])), params["output"])
    np.testing.assert_allclose(jax.jit(network.apply)(params, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kernel_sizes", [None, (4, 2)])
def test_the_decoder_agrees_with_layers_by_xlas_transposed_convolutions(kernel_sizes):
    network = conv_decoder(3, (8, 12, 3, 2), channels=(4, 5), hidden=7, kernel_sizes=kernel_sizes)
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    z = jax.random.normal(jax.random.key(1), (3,))
    h = jax.nn.relu(dense(jax.nn.relu(dense(z, params["hidden"])), params["grid"])).reshape(2, 3, 5)
    h = jax.nn.relu(transposed_convolution(h, params["conv_0"]))
    expected = transposed_convolution(h, params["output"]).reshape(8, 12, 3, 2)
    np.testing.assert_allclose(jax.jit(network.apply)(params, z), expected, rtol=1e-4, atol=1e-5)


def test_parameter_paths_are_stable():
    encoder = jax.eval_shape(conv_encoder((8, 8, 1), 6, channels=(4, 5), hidden=7).init, jax.random.key(0))
    assert paths_and_shapes(encoder) == {
        "['conv_0']['bias']": (4,),
        "['conv_0']['kernel']": (4, 4, 1, 4),
        "['conv_1']['bias']": (5,),
        "['conv_1']['kernel']": (4, 4, 4, 5),
        "['hidden']['bias']": (7,),
        "['hidden']['kernel']": (20, 7),
        "['output']['bias']": (6,),
        "['output']['kernel']": (7, 6),
    }
    decoder = jax.eval_shape(conv_decoder(3, (8, 8, 1, 2), channels=(4, 5), hidden=7).init, jax.random.key(0))
    assert paths_and_shapes(decoder) == {
        "['conv_0']['bias']": (4,),
        "['conv_0']['kernel']": (4, 4, 4, 5),
        "['grid']['bias']": (20,),
        "['grid']['kernel']": (7, 20),
        "['hidden']['bias']": (7,),
        "['hidden']['kernel']": (3, 7),
        "['output']['bias']": (2,),
        "['output']['kernel']": (4, 4, 2, 4),
    }


@pytest.mark.slow
def test_with_output_weights_of_zero_the_decoder_gives_the_output_bias_averaged_over_the_places():
    bias = np.random.default_rng(0).normal(size=(4, 8, 3, 2)).astype(np.float32)
    network = conv_decoder(5, (4, 8, 3, 2), channels=(4, 6), hidden=7, output_bias=bias)
    params = jax.jit(network.init)(jax.random.key(0))
    params["output"]["kernel"] = jnp.zeros_like(params["output"]["kernel"])
    outputs = jax.jit(network.apply)(params, jnp.ones(5))
    for place in np.ndindex(4, 8):
        np.testing.assert_array_equal(outputs[place], outputs[0, 0])
    np.testing.assert_allclose(outputs[0, 0], bias.astype(np.float64).mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "channels", "least"), [((28, 4), (8, 8, 8), 4), ((1, 8), (8,), 1), ((8, 2), (8, 8), 2)]
)
def test_an_image_too_small_for_the_number_of_halvings_is_refused(size, channels, least):
    message = (
        rf"image_shape \({size[0]}, {size[1]}, 1.* cannot be halved {len(channels)} times: height and width must be "
        rf"above {least}; give fewer channels"
    )
    with pytest.raises(ValueError, match=message):
        conv_encoder((*size, 1), 4, channels)
    with pytest.raises(ValueError, match=message):
        conv_decoder(4, (*size, 1, 1), channels)


@pytest.mark.slow
def test_sizes_that_are_not_multiples_of_the_halvings_are_padded_and_cropped():
    encoder, padded_encoder = (conv_encoder((*size, 1), 6, channels=(4, 5), hidden=7) for size in ((7, 9), (8, 12)))
    params = perturbed(jax.jit(encoder.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (7, 9, 1))
    padded = np.pad(x, ((0, 1), (0, 3), (0, 0)))
    np.testing.assert_array_equal(jax.jit(encoder.apply)(params, x), jax.jit(padded_encoder.apply)(params, padded))
    decoder, uncropped_decoder = (
        conv_decoder(3, (*size, 1, 2), channels=(4, 5), hidden=7) for size in ((7, 9), (8, 12))
    )
    params = perturbed(jax.jit(decoder.init)(jax.random.key(0)))
    z = jnp.asarray([1.0, -2.0, 0.5])
    outputs = jax.jit(decoder.apply)(params, z)
    np.testing.assert_array_equal(outputs, jax.jit(uncropped_decoder.apply)(params, z)[:7, :9])


def test_empty_channels_are_refused():
    with pytest.raises(ValueError, match="channels must have an entry for at least one layer"):
        conv_encoder((8, 8, 1), 4, channels=())


def test_kernel_sizes_are_in_the_order_of_the_encoder_in_both_networks():
    encoder = jax.eval_shape(conv_encoder((8, 8, 1), 6, (4, 5), 7, kernel_sizes=(4, 2)).init, jax.random.key(0))
    decoder = jax.eval_shape(conv_decoder(3, (8, 8, 1, 2), (4, 5), 7, kernel_sizes=(4, 2)).init, jax.random.key(0))
    assert encoder["conv_0"]["kernel"].shape == (4, 4, 1, 4)
    assert encoder["conv_1"]["kernel"].shape == (2, 2, 4, 5)
    assert decoder["conv_0"]["kernel"].shape == (2, 2, 4, 5)
    assert decoder["output"]["kernel"].shape == (4, 4, 2, 4)


def test_wrong_kernel_sizes_are_refused():
    message = r"kernel_sizes must have 2 entries, one for each layer of channels \(4, 5\), got \(4,\)"
    with pytest.raises(ValueError, match=message):
        conv_encoder((8, 8, 1), 4, (4, 5), kernel_sizes=(4,))
    with pytest.raises(
        ValueError, match=r"the kernel size of a layer of stride 2 must be 2 plus an even number.*got 3"
    ):
        conv_decoder(4, (8, 8, 1, 1), (4, 5), kernel_sizes=(4, 3))
