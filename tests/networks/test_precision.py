"""Tests of `in_precision`: networks in bfloat16, everything else in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from contract.checks import assert_all_finite
from fresh import some_params, some_state
from networks.programs import equations_of, products_of
from vae_jax import data
from vae_jax.models import gaussian_vae
from vae_jax.networks import (
    Network,
    conv_decoder,
    conv_encoder,
    from_nnx,
    gated_mlp_decoder,
    gated_mlp_encoder,
    in_precision,
    mlp_decoder,
    mlp_encoder,
)
from vae_jax.objectives import elbo, negative_elbo, with_preprocessing
from vae_jax.training import make_train_epoch, make_train_step

IMAGE = (28, 28, 1)
NETWORKS = {
    "mlp_encoder": (mlp_encoder((8, 8, 1), 6, (16, 8)), (8, 8, 1)),
    "mlp_decoder": (mlp_decoder(3, (8, 8, 1, 1), (16, 8), jnp.ones((8, 8, 1, 1))), (3,)),
    "conv_encoder": (conv_encoder((8, 8, 1), 6, (2, 3), 5), (8, 8, 1)),
    "conv_decoder": (conv_decoder(3, (8, 8, 1, 1), (2, 3), 5), (3,)),
    "gated_mlp_encoder": (gated_mlp_encoder((8, 8, 1), 6, (16, 8)), (8, 8, 1)),
    "gated_mlp_decoder": (gated_mlp_decoder(3, (8, 8, 1, 1), (16, 8)), (3,)),
    "from_nnx": (from_nnx(lambda rngs: nnx.Linear(3, 5, rngs=rngs)), (3,)),
}
network_rows = pytest.mark.parametrize(("network", "shape"), NETWORKS.values(), ids=NETWORKS.keys())


def bfloat16(network):
    return in_precision(network, jnp.bfloat16)


def digits_vae(wrap):
    encoder, decoder = mlp_encoder(IMAGE, 16, (64,)), mlp_decoder(8, (*IMAGE, 1), (64,))
    return gaussian_vae(wrap(encoder), wrap(decoder), 8)


FULL, HALF = digits_vae(lambda network: network), digits_vae(bfloat16)


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.slow
@network_rows
def test_every_matrix_product_of_both_passes_is_in_bfloat16(network, shape):
    low = bfloat16(network)
    params, x = jax.eval_shape(low.init, jax.random.key(0)), jax.ShapeDtypeStruct((4, *shape), jnp.float32)
    batched = lambda network, params, x: jnp.sum(jax.vmap(lambda x: network.apply(params, x))(x) ** 2)
    products = products_of(jax.grad(lambda params, x: batched(low, params, x), argnums=(0, 1)), params, x)
    assert len(products) == len(products_of(jax.grad(lambda *args: batched(network, *args), argnums=(0, 1)), params, x))
    assert {var.aval.dtype for product in products for var in product.invars} == {jnp.dtype(jnp.bfloat16)}


@network_rows
def test_values_agree_with_float32_to_the_eight_bits_of_bfloat16(network, shape):
    params, x = some_params(network), jax.random.normal(jax.random.key(1), shape)
    full, low = (jax.jit(n.apply)(params, x) for n in (network, bfloat16(network)))
    assert dtypes((params, low)) == {jnp.dtype(jnp.float32)}
    # There is a rounding error, of a few roundings at most; one rounding to eight bits has an error of 2^-9.
    error = np.abs(low - full).max() / np.abs(full).max()
    assert 1e-5 < error < 4 * 2**-8


def test_integer_inputs_are_not_cast():
    embedding = Network(lambda key: {"table": jnp.arange(1000.0)}, lambda params, code: params["table"][code])
    # 257 has nine bits: the entries of the table are rounded, the index is not.
    assert bfloat16(embedding).apply(embedding.init(None), jnp.asarray(257)) == 256
    assert bfloat16(embedding).apply(embedding.init(None), jnp.asarray(513)) == 512


def test_a_type_that_is_not_floating_point_is_refused():
    with pytest.raises(ValueError, match=r"dtype must be a floating-point type, for example jnp.bfloat16, got int8"):
        in_precision(NETWORKS["mlp_encoder"][0], jnp.int8)


def test_no_density_is_computed_in_bfloat16():
    params, xs = jax.eval_shape(HALF.init, jax.random.key(0)), jnp.zeros((2, *IMAGE))
    step = jax.value_and_grad(lambda params: negative_elbo(HALF, params, jax.random.key(0), xs)[0])
    low = {
        equation.primitive.name
        for equation in equations_of(step, params)
        if any(getattr(var.aval, "dtype", None) == jnp.bfloat16 for var in [*equation.invars, *equation.outvars])
    }
    # Only the two networks with ReLU: products, biases and their gradients, but no exponentials or logarithms.
    assert {"dot_general", "max", "add", "convert_element_type"} <= low
    assert not low & {"exp", "exp2", "log", "log1p", "expm1", "logistic", "div", "square", "erf_inv", "integer_pow"}
    posterior, likelihood = jax.eval_shape(
        lambda params: (HALF.encode(params, xs[0]), HALF.decode(params, jnp.zeros(8))), params
    )
    assert dtypes((posterior, likelihood)) == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_the_gradient_of_a_large_batch_is_precise():
    # A sum of 4,096 numbers of similar size in eight bits would stop growing after about 256 terms.
    params, keys = some_params(FULL), jax.random.key(1)
    xs = data.scale(None, np.tile(data.load_images("digits").train[:512], (8, 1, 1, 1)))
    full, low = (
        jax.jit(jax.grad(lambda params, model=model: negative_elbo(model, params, keys, xs)[0]))(params)
        for model in (FULL, HALF)
    )
    assert dtypes(low) == {jnp.dtype(jnp.float32)}
    errors = jax.tree.map(lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(a), full, low)
    assert max(jax.tree.leaves(errors)) < 0.02, errors


@pytest.fixture(scope="module")
def trained():
    """State and mean loss of the last epoch after ten epochs on the digits, in each precision."""
    digits = data.load_images("digits")

    def train(model):
        step = make_train_step(model, with_preprocessing(negative_elbo, data.binarize), optax.adam(1e-3))
        epoch, key = make_train_epoch(step, 100), jax.random.key(3)
        state = some_state(model, optax.adam(1e-3))
        for _ in range(10):
            state, metrics = epoch(state, key, digits.train)
        return state, float(metrics["loss"])

    return train(FULL), train(HALF)


@pytest.mark.slow
def test_training_in_bfloat16_reaches_the_loss_of_float32_with_a_float32_state(trained):
    (_, full_loss), (state, low_loss) = trained
    assert full_loss < 170  # 543 nats before training
    assert abs(low_loss - full_loss) < 0.01 * full_loss
    assert dtypes(state) == {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}
    assert dtypes(state.params) == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_the_elbo_of_the_two_precisions_agrees_within_its_standard_error(trained):
    # 1,000 test images with four draws of z each, shared by both precisions.
    params = trained[0][0].params
    xs = data.static_binarization(data.load_images("digits").test, 1) / np.float32(255)

    def elbos(model):
        image_elbo = lambda key, x: jnp.mean(jax.vmap(lambda k: elbo(model, params, k, x))(jax.random.split(key, 4)))
        return np.asarray(jax.jit(jax.vmap(image_elbo))(jax.random.split(jax.random.key(5), len(xs)), xs), np.float64)

    full, low = elbos(FULL), elbos(HALF)
    standard_error = full.std() / np.sqrt(len(full))
    assert 0 < abs(full.mean() - low.mean()) < standard_error
    # With shared draws the difference is measured much more precisely: it is below a tenth of the standard error.
    assert abs(full.mean() - low.mean()) < 0.1 * standard_error


@pytest.mark.parametrize("log_variance", [-30.0, 30.0])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_loss_and_gradient_are_finite_at_extreme_parameters(log_variance, logit):
    params = some_params(HALF)
    params["encoder"]["output"]["bias"] = params["encoder"]["output"]["bias"].at[8:].set(log_variance)
    params["decoder"]["output"]["bias"] = jnp.full_like(params["decoder"]["output"]["bias"], logit)
    xs = data.scale(None, data.load_images("digits").train[:2])
    loss_of = lambda params: negative_elbo(HALF, params, jax.random.key(0), xs)[0]
    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(params)
    assert np.isfinite(loss)
    assert_all_finite(gradient)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_outputs_are_finite_for_inputs_beyond_the_range_of_float16(size):
    network = bfloat16(mlp_encoder((4,), 3, (5,)))
    params = some_params(network)
    outputs = network.apply(params, jnp.full(4, size, jnp.float32))
    np.testing.assert_allclose(outputs / size, network.apply(params, jnp.ones(4)), rtol=0.05, atol=0.02)
