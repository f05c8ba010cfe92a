"""Multilayer perceptrons: encoder and decoder of Kingma & Welling 2014."""

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

# N(0, 1 / inputs), truncated at two standard deviations: the default of flax.
LECUN_NORMAL: Initializer = nn.initializers.lecun_normal()


class MLP(nn.Module):
    """Dense layers `hidden_0`, `hidden_1`, ..., each with an activation, then `output`.

    The input is the flattened x, concatenated with the context if there is one.
    """

    hidden: Sequence[int]
    output_shape: Sequence[int]
    activation: Activation = nn.relu
    output_bias_init: Initializer = nn.initializers.zeros_init()
    kernel_init: Initializer = LECUN_NORMAL

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x, contexts = x.ravel(), () if context is None else (context,)  # the first layer alone takes the context
        for i, width in enumerate(self.hidden):
            layer = _Dense(width, kernel_init=self.kernel_init, name=f"hidden_{i}")
            x, contexts = self.activation(layer(x, *contexts)), ()
        output = _Dense(
            math.prod(self.output_shape),
            kernel_init=self.kernel_init,
            bias_init=self.output_bias_init,
            name="output",
        )
        return output(x, *contexts).reshape(self.output_shape)


class _Dense(nn.Dense):
    """Dense layer of a vector, or of the concatenation of a vector and a context.

    The product of the concatenation is computed as the sum of two products: one x with many contexts (`vmap` over the
    context) is multiplied once.
    """

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        if context is None:
            return super().__call__(x)
        kernel = self.param("kernel", self.kernel_init, (x.size + context.size, self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        return x @ kernel[: x.size] + context @ kernel[x.size :] + bias


def mlp_encoder(
    image_shape: Sequence[int],
    num_outputs: int,
    hidden: Sequence[int] = (400,),
    activation: Activation = nn.relu,
    kernel_init: Initializer = LECUN_NORMAL,
    context_size: int = 0,
) -> Network:
    """MLP encoder: image `[H, W, C]` (or code `[D]`) -> vector `[num_outputs]`.

    Args:
      image_shape: shape of one example.
      num_outputs: length of the output.
      hidden: widths of the hidden layers.
      activation: activation of the hidden layers.
      kernel_init: initializer of the weights `[inputs, outputs]` of every layer, from `jax.nn.initializers`; biases are
        initially zero.
      context_size: length of the context, which is concatenated to the flattened input; 0 for a network without a
        context.

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
    """MLP decoder: latent code `[latent_dim]` -> array `[*output_shape]`.

    Args:
      latent_dim: D, the length of the latent code.
      output_shape: shape of the output, for example `[H, W, C, 1]` for one parameter per pixel value.
      hidden: widths of the hidden layers, from the latent code to the image.
      output_bias: initial bias of the output layer, with shape `output_shape`. Default: zeros.
      activation: activation of the hidden layers.
      kernel_init: initializer of the weights `[inputs, outputs]` of every layer, from `jax.nn.initializers`.
      context_size: length of the context, which is concatenated to the latent code; 0 for a network without a context.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix C.
    """
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE)
    check_sizes("output_shape", output_shape)
    check_sizes("hidden", hidden)
    mlp = MLP(tuple(hidden), tuple(output_shape), activation, bias_init(output_bias), kernel_init)
    return from_linen(mlp, (latent_dim,), context_size)


def flattened(x: jax.Array, context: jax.Array | None) -> jax.Array:
    """Flattens x and concatenates the context if there is one."""
    return x.ravel() if context is None else jnp.concatenate([x.ravel(), context])


def bias_init(output_bias: ArrayLike | None) -> Initializer:
    """Initializer of the bias of an output layer: the given values, flattened, or zeros if None."""
    return nn.initializers.constant(0.0 if output_bias is None else jnp.ravel(jnp.asarray(output_bias)))
