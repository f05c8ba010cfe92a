"""Multilayer perceptrons: the encoder and decoder of Kingma & Welling 2014."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer
from jax.typing import ArrayLike

from vae_jax.distributions._checks import LARGEST_SIZE, check_count, check_sizes
from vae_jax.networks._network import Network, from_linen

Activation = Callable[[jax.Array], jax.Array]

# N(0, 1 / inputs), cut off at two standard deviations: flax's own.
LECUN_NORMAL: Initializer = nn.initializers.lecun_normal()


class MLP(nn.Module):
    """Dense layers `hidden_0`, `hidden_1`, ..., each with an activation, then `output`.

    Their input is x, flattened, with the context (if there is one) after it.
    """

    hidden: Sequence[int]
    output_shape: Sequence[int]
    activation: Activation = nn.relu
    output_bias_init: Initializer = nn.initializers.zeros_init()
    kernel_init: Initializer = LECUN_NORMAL

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = flattened(x, context)
        for i, width in enumerate(self.hidden):
            x = self.activation(nn.Dense(width, kernel_init=self.kernel_init, name=f"hidden_{i}")(x))
        output = nn.Dense(
            math.prod(self.output_shape),
            kernel_init=self.kernel_init,
            bias_init=self.output_bias_init,
            name="output",
        )
        return output(x).reshape(self.output_shape)


def mlp_encoder(
    image_shape: Sequence[int],
    num_outputs: int,
    hidden: Sequence[int] = (400,),
    activation: Activation = nn.relu,
    kernel_init: Initializer = LECUN_NORMAL,
    context_size: int = 0,
) -> Network:
    """Image `[H, W, C]` (or a code `[D]`) -> vector `[num_outputs]`.

    Args:
      image_shape: of one example.
      num_outputs: length of the result.
      hidden: widths of the hidden layers.
      activation: of the hidden layers.
      kernel_init: of every layer's weights `[inputs, outputs]`, one of `jax.nn.initializers`; biases start at zero.
      context_size: length of the context, which is concatenated to the flattened input; 0: the network takes none.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix C.
    """
    check_count("num_outputs", num_outputs, most=LARGEST_SIZE)
    check_sizes("image_shape", image_shape)
    check_sizes("hidden", hidden)
    mlp = MLP(tuple(hidden), (num_outputs,), activation, kernel_init=kernel_init)
    return from_linen(mlp, image_shape, context_size)


def mlp_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    hidden: Sequence[int] = (400,),
    output_bias: ArrayLike | None = None,
    activation: Activation = nn.relu,
    kernel_init: Initializer = LECUN_NORMAL,
    context_size: int = 0,
) -> Network:
    """Code `[latent_dim]` -> array `[*output_shape]`.

    Args:
      latent_dim: D, the length of the code.
      output_shape: of the outputs, for example `[H, W, C, 1]` for one parameter a pixel.
      hidden: widths of the hidden layers, from the code to the image.
      output_bias: the output layer's initial bias, of shape `output_shape`; zeros where None.
      activation: of the hidden layers.
      kernel_init: of every layer's weights `[inputs, outputs]`, one of `jax.nn.initializers`.
      context_size: length of the context, which is concatenated to the code; 0: the network takes none.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix C.
    """
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE)
    check_sizes("output_shape", output_shape)
    check_sizes("hidden", hidden)
    mlp = MLP(tuple(hidden), tuple(output_shape), activation, bias_init(output_bias), kernel_init)
    return from_linen(mlp, (latent_dim,), context_size)


def flattened(x: jax.Array, context: jax.Array | None) -> jax.Array:
    """x as a vector, with the context after it if there is one."""
    return x.ravel() if context is None else jnp.concatenate([x.ravel(), context])


def bias_init(output_bias: ArrayLike | None) -> Initializer:
    """Of an output layer: the given biases, flattened; zeros where None."""
    return nn.initializers.constant(0.0 if output_bias is None else jnp.ravel(jnp.asarray(output_bias)))
