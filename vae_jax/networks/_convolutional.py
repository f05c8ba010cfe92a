"""Convolutional encoders and decoders whose layers halve or double the image, as in Burgess et al. 2018."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_counts, check_sizes
from vae_jax.networks._convolutions import Conv, ConvTranspose, padding_of
from vae_jax.networks._feature_wise import modulated
from vae_jax.networks._mlp import Activation
from vae_jax.networks._network import Network, from_linen
from vae_jax.networks._odd_sizes import cropped, halved, padded


class ConvEncoder(nn.Module):
    """Convolutions `conv_0`, `conv_1`, ... that halve the padded image, a dense layer `hidden`, then `output`."""

    channels: Sequence[int]
    kernel_sizes: Sequence[int]
    hidden: int
    num_outputs: int
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = padded(x, len(self.channels))
        for i, (features, size) in enumerate(zip(self.channels, self.kernel_sizes, strict=True)):
            x = Conv(features, size, name=f"conv_{i}")(x)
            x = self.activation(modulated(x, context, f"conv_{i}_context"))
        x = self.activation(nn.Dense(self.hidden, name="hidden")(x.ravel()))
        return nn.Dense(self.num_outputs, name="output")(x)


class ConvDecoder(nn.Module):
    """Mirrored encoder: dense layers `hidden` and `grid`, then `conv_0`, ... and `output`, which double the image."""

    channels: Sequence[int]
    kernel_sizes: Sequence[int]
    hidden: int
    output_shape: Sequence[int]
    activation: Activation = nn.relu
    output_bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, z: jax.Array, context: jax.Array | None = None) -> jax.Array:
        height, width, *pixel = self.output_shape
        grid = (*halved(self.output_shape, len(self.channels)), self.channels[-1])
        x = self.activation(nn.Dense(self.hidden, name="hidden")(z))
        x = nn.Dense(math.prod(grid), name="grid")(x)
        if context is not None:
            x = modulated(x.reshape(grid), context, "grid_context")
        x = self.activation(x).reshape(grid)
        *sizes, output_size = reversed(self.kernel_sizes)
        for i, (features, size) in enumerate(zip(reversed(self.channels[:-1]), sizes, strict=True)):
            x = ConvTranspose(features, size, name=f"conv_{i}")(x)
            x = self.activation(modulated(x, context, f"conv_{i}_context"))
        output = ConvTranspose(math.prod(pixel), output_size, bias_init=self.output_bias_init, name="output")
        return cropped(output(x), height, width).reshape(height, width, *pixel)


def check_halvings(image_shape: Sequence[int], channels: Sequence[int]) -> None:
    """Raises ValueError if channels is empty or the image is too small to be halved by every layer."""
    if not channels:
        raise ValueError("channels must have an entry for at least one layer, for example (32, 64), got none")
    halved(image_shape, len(channels))


def _kernel_sizes(channels: Sequence[int], kernel_sizes: Sequence[int] | None) -> tuple[int, ...]:
    sizes = (4,) * len(channels) if kernel_sizes is None else tuple(kernel_sizes)
    if len(sizes) != len(channels):
        raise ValueError(
            f"kernel_sizes must have {len(channels)} entries, one for each layer of channels {tuple(channels)}, "
            f"got {sizes}"
        )
    for size in sizes:
        padding_of(size, 2)
    return sizes


def conv_encoder(
    image_shape: Sequence[int],
    num_outputs: int,
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    activation: Activation = nn.relu,
    kernel_sizes: Sequence[int] | None = None,
    context_size: int = 0,
) -> Network:
    """Convolutional encoder: image `[H, W, C]` -> vector `[num_outputs]`.

    The image is padded with zeros at the bottom and on the right if its height or width is not a multiple of
    2^len(channels).

    Args:
      image_shape: shape of one example.
      num_outputs: length of the output.
      channels: numbers of channels of the layers of stride 2, from the image to the latent code.
      hidden: width of the dense layer next to the latent code.
      activation: activation of the hidden layers.
      kernel_sizes: kernel sizes of the layers of stride 2, even numbers. Default: 4 for every layer.
      context_size: length of the context, which scales and shifts the channels after each convolution (Perez et
        al. 2018, arXiv:1709.07871); 0 for a network without a context.

    Raises:
      ValueError: if H or W is 1 before the last halving, or a kernel size is odd or below 2.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    check_sizes("image_shape", image_shape)
    check_sizes("channels", channels)
    check_counts(num_outputs=num_outputs, hidden=hidden)
    check_halvings(image_shape, channels)
    sizes = _kernel_sizes(channels, kernel_sizes)
    encoder = ConvEncoder(tuple(channels), sizes, hidden, num_outputs, activation)
    return from_linen(encoder, image_shape, context_size)


def conv_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    output_bias: ArrayLike | None = None,
    activation: Activation = nn.relu,
    kernel_sizes: Sequence[int] | None = None,
    context_size: int = 0,
) -> Network:
    """Convolutional decoder: latent code `[latent_dim]` -> array `[H, W, ...]`, the mirrored `conv_encoder`.

    The output of the last layer is cropped to `[H, W]` if H or W is not a multiple of 2^len(channels).

    Args:
      latent_dim: D, the length of the latent code.
      output_shape: `[H, W, ...]`, for example `[H, W, C, 1]` for one parameter per pixel value.
      channels: channels of the encoder, from the image to the latent code; used in reverse.
      hidden: width of the dense layer next to the latent code.
      output_bias: initial values of the outputs, with shape `output_shape`; averaged over the places, which share the
        bias of the last layer. Default: zeros.
      activation: activation of the hidden layers.
      kernel_sizes: kernel sizes of the encoder, from the image to the latent code, even numbers. Default: 4 for every
        layer.
      context_size: as in `conv_encoder`; the context scales and shifts the first grid and each hidden convolution.

    Raises:
      ValueError: if H or W is 1 before the last halving, or a kernel size is odd or below 2.

    Source: Burgess et al. 2018 (arXiv:1804.03599).
    """
    check_sizes("output_shape", output_shape)
    check_sizes("channels", channels)
    check_counts(latent_dim=latent_dim, hidden=hidden)
    check_halvings(output_shape, channels)
    sizes = _kernel_sizes(channels, kernel_sizes)
    per_pixel = 0.0 if output_bias is None else jnp.asarray(output_bias).mean(axis=(0, 1)).ravel()
    bias_init = nn.initializers.constant(per_pixel)
    decoder = ConvDecoder(tuple(channels), sizes, hidden, tuple(output_shape), activation, bias_init)
    return from_linen(decoder, (latent_dim,), context_size)
