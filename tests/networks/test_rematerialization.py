"""Tests of `rematerialized`: equal values and gradients in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.checks import assert_trees_close
from fresh import some_params
from networks.programs import UNRUN, products_of
from vae_jax.models import gaussian_vae
from vae_jax.networks import conv_decoder, conv_encoder, mlp_decoder, mlp_encoder, rematerialized
from vae_jax.objectives import negative_elbo

IMAGE = (8, 8, 1)
DEPTH = 8


def mlp(wrap):
    widths = (256,) * DEPTH
    encoder, decoder = mlp_encoder(IMAGE, 8, widths, jnp.tanh), mlp_decoder(4, (*IMAGE, 1), widths, None, jnp.tanh)
    return gaussian_vae(wrap(encoder), wrap(decoder), 4)


def conv(wrap):
    return gaussian_vae(wrap(conv_encoder(IMAGE, 8, (2, 3), 5)), wrap(conv_decoder(4, (*IMAGE, 1), (2, 3), 5)), 4)


def plain(network):
    return network


def loss_of(model):
    return lambda params, xs: negative_elbo(model, params, jax.random.key(0), xs)[0]


def value_and_gradient(model):
    return jax.value_and_grad(loss_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("make", [mlp, conv])
def test_values_and_gradients_are_equal(make):
    params = some_params(make(plain))
    xs = (np.random.default_rng(0).random((4, *IMAGE)) < 0.5).astype(np.float32)
    expected, actual = (jax.jit(value_and_gradient(make(wrap)))(params, xs) for wrap in (plain, rematerialized))
    assert_trees_close(actual, expected, rtol=1e-6, atol=1e-7)
    assert 30 < expected[0] < 60  # 64 random pixels have an entropy of 44 nats


def test_a_gradient_costs_a_second_forward_pass_and_a_value_does_not():
    params, xs = jax.eval_shape(mlp(plain).init, jax.random.key(0)), np.zeros((4, *IMAGE), np.float32)

    def count(function):
        return len(products_of(function, params, xs))

    # Each network has DEPTH + 1 layers; the backward pass does not need the outputs of the last.
    extra = count(value_and_gradient(mlp(rematerialized))) - count(value_and_gradient(mlp(plain)))
    assert extra == 2 * DEPTH
    assert count(loss_of(mlp(rematerialized))) == count(loss_of(mlp(plain))) == 2 * (DEPTH + 1)


def test_a_program_holds_the_activations_one_network_at_a_time():
    params, xs = jax.eval_shape(mlp(plain).init, jax.random.key(0)), jax.ShapeDtypeStruct((2048, *IMAGE), jnp.float32)
    # On a CPU, XLA removes the barriers between the two forward passes and then merges them; on GPUs and TPUs it does
    # not. Without this compiler pass, the memory on a CPU is that on an accelerator.
    options = {**UNRUN, "xla_disable_hlo_passes": "cse_barrier_expander"}
    memory = {
        wrap: jax.jit(value_and_gradient(mlp(wrap))).lower(params, xs).compile(options).memory_analysis()
        for wrap in (plain, rematerialized)
    }
    megabytes = {wrap: analysis.temp_size_in_bytes / 2**20 for wrap, analysis in memory.items()}
    one_network = DEPTH * 2048 * 256 * 4 / 2**20  # 16
    assert megabytes[plain] > 2 * one_network
    assert megabytes[rematerialized] < 1.25 * one_network
