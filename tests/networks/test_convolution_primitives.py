import re

import jax
import jax.numpy as jnp
import optax
import pytest

from fresh import some_state
from networks.programs import UNRUN
from vae_jax.models import conv_vae, gaussian_vae
from vae_jax.networks import residual_decoder, residual_encoder
from vae_jax.objectives import negative_elbo
from vae_jax.training._step import make_train_step

MODELS = {
    "conv_vae": lambda: conv_vae((8, 8, 1), 3, (4, 6), 5, kernel_sizes=(4, 2)),
    "residual": lambda: gaussian_vae(
        # 32 channels: wide enough for Winograd's products.
        residual_encoder((8, 8, 3), 2, (4, 32), 32, 1),
        residual_decoder(2, (8, 8, 3, 1), (4, 32), 32, 1),
        8,
    ),
}


def training_step(name):
    """Training step of the model, and its arguments."""
    model, optimizer = MODELS[name](), optax.adam(1e-3)
    state = some_state(model, optimizer)
    batch = jnp.zeros((2, 8, 8, 1 if name == "conv_vae" else 3))
    return make_train_step(model, negative_elbo, optimizer), (state, jax.random.key(1), batch)


def ensemble_step(name):
    step, (state, key, batch) = training_step(name)
    states = jax.tree.map(lambda a: jnp.stack([a, a, a]), state)
    return jax.vmap(step, (0, 0, None)), (states, jax.random.split(key, 3), batch)


@pytest.mark.slow
@pytest.mark.parametrize("make", [training_step, ensemble_step])
@pytest.mark.parametrize("name", MODELS)
def test_on_a_cpu_no_convolution_is_left_in_a_training_step(name, make):
    step, args = make(name)
    program = jax.jit(step).lower(*args).compile(UNRUN).as_text()
    assert " dot(" in program or "custom_call_target" in program
    assert not re.search(r"\bconvolution\(", program)


# Each layer has an output, a gradient in the image and a gradient in the kernel, except for the image gradient of the
# first layer.
CONVOLUTIONS = {"conv_vae": (2 + 2) * 3 - 1, "residual": (6 + 5) * 3 - 1}


@pytest.mark.slow
@pytest.mark.parametrize("make", [training_step, ensemble_step])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_on_an_accelerator_every_pass_is_one_native_convolution(platform, name, make):
    step, args = make(name)
    program = jax.jit(step).trace(*args).lower(lowering_platforms=(platform,)).as_text()
    assert program.count("stablehlo.convolution") == CONVOLUTIONS[name]
