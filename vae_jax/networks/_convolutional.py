"""Convolutional encoders and decoders that halve the image per layer, as in Burgess et al. 2018 (arXiv:1804.03599)."""

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
    """Layers `conv_0`, `conv_1`, ... that halve the padded image, a dense layer `hidden`, then `output`."""

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
    """The encoder mirrored: dense layers `hidden` and `grid`, then layers `conv_0`, ... that double the image."""

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
    """Refuses an image that is too small for as many halvings as there are channels."""
    if not channels:
        raise ValueError("channels must name at least one layer, for example (32, 64)")
    halved(image_shape, len(channels))


def _kernel_sizes(channels: Sequence[int], kernel_sizes: Sequence[int] | None) -> tuple[int, ...]:
    sizes = (4,) * len(channels) if kernel_sizes is None else tuple(kernel_sizes)
    if len(sizes) != len(channels):
        raise ValueError(f"kernel_sizes {sizes} must name one size for each layer of channels {tuple(channels)}")
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
    """Image `[H, W, C]` -> vector `[num_outputs]`.

    An image whose sides the halvings do not divide is padded with zeros below and on the right.

    Args:
      image_shape: of one example.
      num_outputs: length of the result.
      channels: of the layers of stride 2, from the image to the code.
      hidden: the width of the dense layer next to the code.
      activation: of the hidden layers.
      kernel_sizes: of the same layers, each even; 4 where None.
      context_size: length of the context, which scales and shifts the channels after each convolution (Perez et
        al. 2018, arXiv:1709.07871); 0: the network takes none.

    Raises:
      ValueError: If H or W is 1 before the last halving, or a kernel size does not suit.

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
    """Code `[latent_dim]` -> array `[H, W, ...]`; the encoder's channels in reverse.

    If the halvings do not divide H or W, the last layer gives a larger array, of which `[H, W]` are kept.

    Args:
      latent_dim: D, the length of the code.
      output_shape: `[H, W, ...]`, for example `[H, W, C, 1]` for one parameter a pixel.
      channels: of the encoder's layers, from the image to the code.
      hidden: the width of the dense layer next to the code.
      output_bias: initial values of the outputs, of shape `output_shape`; the last layer shares its bias between
        places, so that their mean over the places is taken. Zeros where None.
      activation: of the hidden layers.
      kernel_sizes: of the encoder's layers, from the image to the code, each even; 4 where None.
      context_size: as in `conv_encoder`; the channels are those of the first grid and of each hidden convolution.

    Raises:
      ValueError: If H or W is 1 before the last halving, or a kernel size does not suit.

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
