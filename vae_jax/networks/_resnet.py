"""Residual networks whose latent code is one vector, with a dense layer between it and the grid of features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_counts, check_sizes
from vae_jax.networks._feature_wise import modulated
from vae_jax.networks._network import Network, from_linen
from vae_jax.networks._odd_sizes import halved
from vae_jax.networks._residual import check_layers, downsampled, upsampled


class ResnetEncoder(nn.Module):
    """Layers of `downsampled`, then a dense layer `output`."""

    channels: Sequence[int]
    residual_hidden: int
    residual_layers: int
    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = downsampled(x, self.channels, self.residual_hidden, self.residual_layers, context)
        return nn.Dense(self.num_outputs, name="output")(x.ravel())


class ResnetDecoder(nn.Module):
    """Dense layer `grid`, then the layers of `upsampled`."""

    channels: Sequence[int]
    residual_hidden: int
    residual_layers: int
    output_shape: Sequence[int]
    output_bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, z: jax.Array, context: jax.Array | None = None) -> jax.Array:
        grid = (*halved(self.output_shape, len(self.channels)), self.channels[-1])
        x = nn.Dense(math.prod(grid), name="grid")(z).reshape(grid)
        return upsampled(
            modulated(x, context, "grid_context"),
            self.channels,
            self.residual_hidden,
            self.residual_layers,
            self.output_shape,
            self.output_bias_init,
            context,
        )


def resnet_encoder(
    image_shape: Sequence[int],
    num_outputs: int,
    channels: Sequence[int] = (32, 64),
    residual_hidden: int = 32,
    residual_layers: int = 2,
    context_size: int = 0,
) -> Network:
    """ResNet encoder: image `[H, W, C]` -> vector `[num_outputs]`.

    The layers are those of `residual_encoder`, followed by a dense layer. The image is padded with zeros at the bottom
    and on the right if its height or width is not a multiple of 2^len(channels).

    Args:
      image_shape: shape of one example.
      num_outputs: length of the output; 2 * latent_dim for the mean and log-variance of a Gaussian.
      channels: numbers of channels of the layers that halve the image; the following layers have the last of them.
      residual_hidden: number of channels inside a residual layer.
      residual_layers: number of residual layers, at least 0.
      context_size: length of the context, as in `residual_encoder`; 0 for a network without a context.

    Raises:
      ValueError: if H or W is 1 before the last halving, or a size is below 1.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.1, for the residual layers.
    """
    check_sizes("image_shape", image_shape)
    check_counts(num_outputs=num_outputs)
    check_layers(image_shape, channels, residual_hidden, residual_layers)
    encoder = ResnetEncoder(tuple(channels), residual_hidden, residual_layers, num_outputs)
    return from_linen(encoder, image_shape, context_size)


def resnet_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    channels: Sequence[int] = (32, 64),
    residual_hidden: int = 32,
    residual_layers: int = 2,
    output_bias: ArrayLike | None = None,
    context_size: int = 0,
) -> Network:
    """ResNet decoder: latent code `[latent_dim]` -> array `[H, W, ...]`.

    The layers are a dense layer, followed by those of `residual_decoder`. The output of the last layer is cropped to
    `[H, W]` if H or W is not a multiple of 2^len(channels).

    Args:
      latent_dim: D, the length of the latent code.
      output_shape: `[H, W, ...]`, for example `[H, W, C, 1]` for one parameter per pixel value.
      channels: channels of the encoder, from the image to the latent code; used in reverse.
      residual_hidden: number of channels inside a residual layer.
      residual_layers: number of residual layers, at least 0.
      output_bias: initial values of the outputs, with shape `output_shape`; averaged over the places, which share the
        bias of the last layer. Default: zeros.
      context_size: as in `resnet_encoder`; the context scales and shifts the first grid and each hidden convolution.

    Raises:
      ValueError: if H or W is 1 before the last halving, or a size is below 1.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.1, for the residual layers.
    """
    check_sizes("output_shape", output_shape)
    check_counts(latent_dim=latent_dim)
    check_layers(output_shape, channels, residual_hidden, residual_layers)
    per_pixel = 0.0 if output_bias is None else jnp.asarray(output_bias).mean(axis=(0, 1)).ravel()
    bias_init = nn.initializers.constant(per_pixel)
    decoder = ResnetDecoder(tuple(channels), residual_hidden, residual_layers, tuple(output_shape), bias_init)
    return from_linen(decoder, (latent_dim,), context_size)
