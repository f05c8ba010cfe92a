import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.networks import mlp_decoder, mlp_encoder


def paths_and_shapes(params):
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def numpy_forward(params, x, activation):
    """Reference network in float64: layers activation(x W + b), then a linear layer."""
    x = np.asarray(x, np.float64).ravel()
    for i in range(len(params) - 1):
        layer = params[f"hidden_{i}"]
        x = activation(x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64))
    return x @ np.asarray(params["output"]["kernel"], np.float64) + np.asarray(params["output"]["bias"], np.float64)


def perturbed(params):
    """Parameters with non-zero biases, so that a missing bias is detected."""
    return jax.tree.map(
        lambda p: np.asarray(p) + 0.1 * np.cos(np.arange(p.size, dtype=p.dtype)).reshape(p.shape), params
    )


def test_the_encoder_is_the_numpy_forward_pass():
    network = mlp_encoder((3, 4, 2), 6, hidden=(7, 5))
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (3, 4, 2))
    expected = numpy_forward(params, x, lambda h: np.maximum(h, 0.0))
    np.testing.assert_allclose(jax.jit(network.apply)(params, x), expected, rtol=1e-5, atol=1e-6)


def test_the_decoder_is_the_numpy_forward_pass_with_the_given_activation():
    network = mlp_decoder(3, (2, 4, 1, 2), hidden=(6,), activation=jnp.tanh)
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    z = jax.random.normal(jax.random.key(1), (3,))
    expected = numpy_forward(params, z, np.tanh).reshape(2, 4, 1, 2)
    np.testing.assert_allclose(jax.jit(network.apply)(params, z), expected, rtol=1e-5, atol=1e-6)


def test_parameter_paths_are_stable():
    params = jax.eval_shape(mlp_encoder((4, 4, 1), 6, hidden=(7, 5)).init, jax.random.key(0))
    assert paths_and_shapes(params) == {
        "['hidden_0']['bias']": (7,),
        "['hidden_0']['kernel']": (16, 7),
        "['hidden_1']['bias']": (5,),
        "['hidden_1']['kernel']": (7, 5),
        "['output']['bias']": (6,),
        "['output']['kernel']": (5, 6),
    }


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_with_output_weights_of_zero_the_decoder_gives_exactly_its_output_bias(hidden):
    bias = np.random.default_rng(0).normal(size=(3, 2, 1, 2)).astype(np.float32)
    network = mlp_decoder(4, (3, 2, 1, 2), hidden=hidden, output_bias=bias)
    params = jax.jit(network.init)(jax.random.key(0))
    params["output"]["kernel"] = jnp.zeros_like(params["output"]["kernel"])
    np.testing.assert_array_equal(jax.jit(network.apply)(params, jnp.ones(4)), bias)


def test_without_output_bias_the_decoder_starts_at_zero():
    network = mlp_decoder(4, (3, 2, 1, 1), hidden=(5,))
    np.testing.assert_array_equal(
        network.apply(jax.jit(network.init)(jax.random.key(0)), jnp.zeros(4)), np.zeros((3, 2, 1, 1))
    )


def test_the_initial_weights_are_drawn_by_the_given_initializer_and_biases_are_zero():
    glorot = jax.nn.initializers.glorot_uniform()
    for network in (
        mlp_encoder((20, 30), 40, hidden=(50,), kernel_init=glorot),
        mlp_decoder(600, (40,), hidden=(50,), kernel_init=glorot),
    ):
        params = jax.jit(network.init)(jax.random.key(0))
        for layer, (inputs, outputs) in (("hidden_0", (600, 50)), ("output", (50, 40))):
            # Uniform within +-sqrt(6 / (inputs + outputs)); the largest of thousands of draws is close to the bound.
            bound = np.sqrt(6 / (inputs + outputs))
            assert 0.99 * bound < np.abs(params[layer]["kernel"]).max() <= bound
            np.testing.assert_array_equal(params[layer]["bias"], np.zeros(outputs))


def test_default_weights_have_variance_1_over_inputs_and_are_truncated_at_two_deviations():
    params = jax.jit(mlp_encoder((20, 30), 40, hidden=(50,)).init)(jax.random.key(0))
    kernel = np.asarray(params["hidden_0"]["kernel"], np.float64)
    # A Normal truncated at two deviations, whose variance after truncation is 1 / 600.
    assert np.abs(kernel).max() <= 2 * np.sqrt(1 / 600) / 0.87962566103423978 + 1e-6
    np.testing.assert_allclose(kernel.var(), 1 / 600, rtol=0.03)
