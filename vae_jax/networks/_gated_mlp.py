"""Multilayer perceptrons of gated layers, h = (W1 x + b1) * sigmoid(W2 x + b2), as in Tomczak & Welling 2018."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
from flax import linen as nn
from jax.nn.initializers import Initializer
from jax.typing import ArrayLike

from vae_jax.distributions._checks import LARGEST_SIZE, check_count, check_sizes
from vae_jax.networks._mlp import LECUN_NORMAL, bias_init, flattened
from vae_jax.networks._network import Network, from_linen


class GatedMLP(nn.Module):
    """Layers hidden_i(x) * sigmoid(gate_i(x)), i = 0, 1, ..., on the flattened input and context, then `output`.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), experiments; the gate is that of Dauphin et al. 2016
    (arXiv:1612.08083), eq. 1.
    """

    hidden: Sequence[int]
    output_shape: Sequence[int]
    output_bias_init: Initializer = nn.initializers.zeros_init()
    kernel_init: Initializer = LECUN_NORMAL

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = flattened(x, context)
        for i, width in enumerate(self.hidden):
            hidden = nn.Dense(width, kernel_init=self.kernel_init, name=f"hidden_{i}")
            gate = nn.Dense(width, kernel_init=self.kernel_init, name=f"gate_{i}")
            x = hidden(x) * nn.sigmoid(gate(x))
        output = nn.Dense(
            math.prod(self.output_shape),
            kernel_init=self.kernel_init,
            bias_init=self.output_bias_init,
            name="output",
        )
        return output(x).reshape(self.output_shape)


def gated_mlp_encoder(
    image_shape: Sequence[int],
    num_outputs: int,
    hidden: Sequence[int] = (300, 300),
    kernel_init: Initializer = LECUN_NORMAL,
    context_size: int = 0,
) -> Network:
    """Gated MLP encoder: image `[H, W, C]` (or code `[D]`) -> vector `[num_outputs]`; arguments as in `mlp_encoder`.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), experiments.
    """
    check_count("num_outputs", num_outputs, most=LARGEST_SIZE)
    check_sizes("image_shape", image_shape)
    check_sizes("hidden", hidden)
    mlp = GatedMLP(tuple(hidden), (num_outputs,), kernel_init=kernel_init)
    return from_linen(mlp, image_shape, context_size)


def gated_mlp_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    hidden: Sequence[int] = (300, 300),
    output_bias: ArrayLike | None = None,
    kernel_init: Initializer = LECUN_NORMAL,
    context_size: int = 0,
) -> Network:
    """Gated MLP decoder: latent code `[latent_dim]` -> array `[*output_shape]`; arguments as in `mlp_decoder`.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), experiments.
    """
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE)
    check_sizes("output_shape", output_shape)
    check_sizes("hidden", hidden)
    mlp = GatedMLP(tuple(hidden), tuple(output_shape), bias_init(output_bias), kernel_init)
    return from_linen(mlp, (latent_dim,), context_size)
