"""Residual networks with a vector as latent code, against layers by XLA's convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import some_params
from networks.references import convolution, dense, perturbed, residual_layers, transposed_convolution
from vae_jax.models import gaussian_vae
from vae_jax.networks import resnet_decoder, resnet_encoder
from vae_jax.objectives import negative_elbo

OPTIONS = {"channels": (4, 6), "residual_hidden": 3}


def paths_and_shapes(network):
    leaves = jax.tree.leaves_with_path(jax.eval_shape(network.init, jax.random.key(0)))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, 2])
def test_both_networks_agree_with_layers_by_xlas_convolutions(layers):
    encoder = resnet_encoder((8, 12, 3), 5, **OPTIONS, residual_layers=layers)
    params, x = perturbed(some_params(encoder)), jax.random.normal(jax.random.key(1), (8, 12, 3))
    h = jax.nn.relu(convolution(x, params["conv_0"], 2))
    h = jax.nn.relu(convolution(h, params["conv_1"], 2))
    h = residual_layers(jax.nn.relu(convolution(h, params["features"])), params.get("residual"), layers)
    expected = dense(h.ravel(), params["output"])
    np.testing.assert_allclose(jax.jit(encoder.apply)(params, x), expected, rtol=1e-4, atol=1e-5)

    decoder = resnet_decoder(5, (8, 12, 3, 2), **OPTIONS, residual_layers=layers)
    params, z = perturbed(some_params(decoder)), jax.random.normal(jax.random.key(1), (5,))
    h = residual_layers(dense(z, params["grid"]).reshape(2, 3, 6), params.get("residual"), layers)
    h = jax.nn.relu(transposed_convolution(h, params["conv_0"]))
    expected = transposed_convolution(h, params["output"]).reshape(8, 12, 3, 2)
    np.testing.assert_allclose(jax.jit(decoder.apply)(params, z), expected, rtol=1e-4, atol=1e-5)


def test_parameter_paths_are_stable():
    residual = {
        "residual/reduce_0/bias": (3,),
        "residual/reduce_0/kernel": (3, 3, 6, 3),
        "residual/expand_0/bias": (6,),
        "residual/expand_0/kernel": (1, 1, 3, 6),
    }
    assert paths_and_shapes(resnet_encoder((8, 12, 1), 5, **OPTIONS, residual_layers=1)) == residual | {
        "conv_0/bias": (4,),
        "conv_0/kernel": (4, 4, 1, 4),
        "conv_1/bias": (6,),
        "conv_1/kernel": (4, 4, 4, 6),
        "features/bias": (6,),
        "features/kernel": (3, 3, 6, 6),
        "output/bias": (5,),
        "output/kernel": (36, 5),
    }
    assert paths_and_shapes(resnet_decoder(5, (8, 12, 1, 2), **OPTIONS, residual_layers=1)) == residual | {
        "grid/bias": (36,),
        "grid/kernel": (5, 36),
        "conv_0/bias": (4,),
        "conv_0/kernel": (4, 4, 4, 6),
        "output/bias": (2,),
        "output/kernel": (4, 4, 2, 4),
    }


@pytest.mark.slow
def test_sizes_that_are_not_multiples_of_the_halvings_are_padded_and_cropped():
    encoder, padded_encoder = (resnet_encoder((*size, 1), 3, **OPTIONS) for size in ((7, 9), (8, 12)))
    params, x = perturbed(some_params(encoder)), jax.random.normal(jax.random.key(1), (7, 9, 1))
    codes = jax.jit(encoder.apply)(params, x)
    np.testing.assert_array_equal(codes, jax.jit(padded_encoder.apply)(params, np.pad(x, ((0, 1), (0, 3), (0, 0)))))
    decoder, uncropped_decoder = (resnet_decoder(3, (*size, 1, 2), **OPTIONS) for size in ((7, 9), (8, 12)))
    params = perturbed(some_params(decoder))
    outputs = jax.jit(decoder.apply)(params, codes)
    assert outputs.shape == (7, 9, 1, 2)
    np.testing.assert_array_equal(outputs, jax.jit(uncropped_decoder.apply)(params, codes)[:7, :9])


@pytest.mark.slow
def test_the_initial_output_bias_is_the_mean_over_the_places():
    bias = np.random.default_rng(0).normal(size=(4, 8, 3, 2)).astype(np.float32)
    params = jax.jit(resnet_decoder(2, (4, 8, 3, 2), **OPTIONS, output_bias=bias).init)(jax.random.key(0))
    expected = bias.astype(np.float64).mean(axis=(0, 1)).ravel()
    np.testing.assert_allclose(params["output"]["bias"], expected, rtol=1e-5)


def test_bad_sizes_are_refused_by_name():
    for call, message in (
        (lambda: resnet_encoder((2, 32, 3), 4), r"image_shape \(2, 32, 3\) cannot be halved 2 times.* above 2"),
        (lambda: resnet_decoder(4, (32, 1, 3, 1)), r"image_shape \(32, 1, 3, 1\) cannot be halved 2 times"),
        (lambda: resnet_encoder((8, 8, 0), 4), r"image_shape\[2\] must be at least 1, got 0"),
        (lambda: resnet_decoder(4, (8, 8, 0)), r"output_shape\[2\] must be at least 1, got 0"),
        (lambda: resnet_encoder((8, 8, 1), 0), "num_outputs must be at least 1, got 0"),
        (lambda: resnet_decoder(0, (8, 8, 1)), "latent_dim must be at least 1, got 0"),
        (lambda: resnet_encoder((8, 8, 1), 4, ()), "channels must have an entry for at least one layer"),
        (lambda: resnet_decoder(4, (8, 8, 1), (8, 0)), r"channels\[1\] must be at least 1, got 0"),
        (lambda: resnet_encoder((8, 8, 1), 4, residual_hidden=0), "residual_hidden must be at least 1, got 0"),
        (lambda: resnet_decoder(4, (8, 8, 1), residual_layers=-1), "residual_layers must be at least 0, got -1"),
        (lambda: resnet_decoder(4, (8, 8, 1), context_size=-1), "context_size must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
def test_a_vae_with_residual_networks_learns_to_use_its_latent_code():
    # Four images with one quadrant each: the loss of a decoder that ignores z is the entropy of 64 pixels with
    # probability 1/4.
    images = np.kron(np.eye(4, dtype=np.float32).reshape(4, 2, 2), np.ones((4, 4), np.float32))[..., None]
    entropy = -64 * (0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    options = {"channels": (4, 8), "residual_hidden": 4, "residual_layers": 1}
    model = gaussian_vae(resnet_encoder((8, 8, 1), 4, **options), resnet_decoder(2, (8, 8, 1, 1), **options), 2)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def trained(params):
        def step(state, key):
            params, moments = state
            loss, gradients = jax.value_and_grad(lambda p: negative_elbo(model, p, key, images)[0])(params)
            updates, moments = optimizer.update(gradients, moments)
            return (optax.apply_updates(params, updates), moments), loss

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(0), 200))[1]

    losses = trained(some_params(model))
    assert losses[0] > entropy > 2 * jnp.mean(losses[-20:])
