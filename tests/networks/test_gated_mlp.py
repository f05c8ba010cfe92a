import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from vae_jax.networks import gated_mlp_decoder, gated_mlp_encoder


def numpy_forward(params, x):
    """Reference network in float64: layers (W x + b) * sigmoid(V x + c), then a linear layer."""
    dense = lambda layer, x: x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
    x = np.asarray(x, np.float64).ravel()
    for i in range((len(params) - 1) // 2):
        x = dense(params[f"hidden_{i}"], x) * scipy.special.expit(dense(params[f"gate_{i}"], x))
    return dense(params["output"], x)


def perturbed(params):
    """Parameters with non-zero biases, so that a missing bias is detected."""
    return jax.tree.map(
        lambda p: np.asarray(p) + 0.1 * np.cos(np.arange(p.size, dtype=p.dtype)).reshape(p.shape), params
    )


def test_the_encoder_is_the_numpy_forward_pass():
    network = gated_mlp_encoder((3, 4, 2), 6, hidden=(7, 5))
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (3, 4, 2))
    np.testing.assert_allclose(jax.jit(network.apply)(params, x), numpy_forward(params, x), rtol=1e-5, atol=1e-6)


def test_the_decoder_is_the_numpy_forward_pass():
    network = gated_mlp_decoder(3, (2, 4, 1, 2), hidden=(6,))
    params = perturbed(jax.jit(network.init)(jax.random.key(0)))
    z = jax.random.normal(jax.random.key(1), (3,))
    expected = numpy_forward(params, z).reshape(2, 4, 1, 2)
    np.testing.assert_allclose(jax.jit(network.apply)(params, z), expected, rtol=1e-5, atol=1e-6)


def test_parameter_paths_are_stable():
    params = jax.eval_shape(gated_mlp_encoder((4, 4, 1), 6, hidden=(7,)).init, jax.random.key(0))
    assert {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)} == {
        "['gate_0']['bias']": (7,),
        "['gate_0']['kernel']": (16, 7),
        "['hidden_0']['bias']": (7,),
        "['hidden_0']['kernel']": (16, 7),
        "['output']['bias']": (6,),
        "['output']['kernel']": (7, 6),
    }


def test_with_output_weights_of_zero_the_decoder_gives_exactly_its_output_bias():
    bias = np.random.default_rng(0).normal(size=(3, 2, 1, 2)).astype(np.float32)
    network = gated_mlp_decoder(4, (3, 2, 1, 2), hidden=(5,), output_bias=bias)
    params = jax.jit(network.init)(jax.random.key(0))
    params["output"]["kernel"] = jnp.zeros_like(params["output"]["kernel"])
    np.testing.assert_array_equal(jax.jit(network.apply)(params, jnp.ones(4)), bias)


def test_the_initial_weights_are_drawn_by_the_given_initializer_with_a_key_for_each_layer():
    he = jax.nn.initializers.he_normal()
    for network in (
        gated_mlp_encoder((20, 30), 40, hidden=(50,), kernel_init=he),
        gated_mlp_decoder(600, (40,), hidden=(50,), kernel_init=he),
    ):
        params = jax.jit(network.init)(jax.random.key(0))
        for layer in ("hidden_0", "gate_0"):
            # Variance 2 / inputs; an estimate from 30,000 draws has a standard error below one percent.
            np.testing.assert_allclose(np.var(params[layer]["kernel"]), 2 / 600, rtol=0.05)
        correlation = np.corrcoef(*(np.ravel(params[layer]["kernel"]) for layer in ("hidden_0", "gate_0")))[0, 1]
        assert abs(correlation) < 5 / np.sqrt(30_000)
