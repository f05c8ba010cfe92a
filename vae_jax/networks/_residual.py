"""Residual networks of the VQ-VAE (van den Oord et al. 2017), with a code for each place of a small grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_counts, check_sizes
from vae_jax.networks._convolutional import check_halvings
from vae_jax.networks._convolutions import Conv, ConvTranspose
from vae_jax.networks._feature_wise import modulated
from vae_jax.networks._network import Network, from_linen
from vae_jax.networks._odd_sizes import cropped, halved, padded


class ResidualLayers(nn.Module):
    """Layers x + expand_i(relu(reduce_i(relu(x)))), with 3x3 convolutions reduce_i and 1x1 expand_i; then a ReLU."""

    hidden: int
    layers: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.layers):
            h = Conv(self.hidden, kernel_size=3, stride=1, name=f"reduce_{i}")(nn.relu(x))
            x = x + Conv(x.shape[-1], kernel_size=1, stride=1, name=f"expand_{i}")(nn.relu(h))
        return nn.relu(x)


def downsampled(
    x: jax.Array, channels: Sequence[int], residual_hidden: int, residual_layers: int, context: jax.Array | None
) -> jax.Array:
    """Image `[H, W, C]` -> features `[h, w, channels[-1]]` after a ReLU.

    Call it inside a compact module, which then owns 4x4 convolutions `conv_0`, ... that halve the padded image, a 3x3
    convolution `features`, and the `residual` layers.
    """
    x = padded(x, len(channels))
    for i, features in enumerate(channels):
        x = nn.relu(modulated(Conv(features, name=f"conv_{i}")(x), context, f"conv_{i}_context"))
    x = Conv(channels[-1], kernel_size=3, stride=1, name="features")(x)
    x = nn.relu(modulated(x, context, "features_context"))
    return ResidualLayers(residual_hidden, residual_layers, name="residual")(x)


def upsampled(
    x: jax.Array,
    channels: Sequence[int],
    residual_hidden: int,
    residual_layers: int,
    output_shape: Sequence[int],
    output_bias_init: nn.initializers.Initializer,
    context: jax.Array | None,
) -> jax.Array:
    """Features `[h, w, channels[-1]]` -> outputs `[H, W, ...]`: the mirrored `downsampled`.

    Call it inside a compact module, which then owns the `residual` layers, and transposed 4x4 convolutions `conv_0`,
    ... and `output`.
    """
    height, width, *pixel = output_shape
    x = ResidualLayers(residual_hidden, residual_layers, name="residual")(x)
    for i, features in enumerate(reversed(channels[:-1])):
        x = nn.relu(modulated(ConvTranspose(features, name=f"conv_{i}")(x), context, f"conv_{i}_context"))
    output = ConvTranspose(math.prod(pixel), bias_init=output_bias_init, name="output")
    return cropped(output(x), height, width).reshape(height, width, *pixel)


class ResidualEncoder(nn.Module):
    """Layers of `downsampled`, then a 1x1 convolution `output`."""

    channels: Sequence[int]
    residual_hidden: int
    residual_layers: int
    code_channels: int
    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = downsampled(x, self.channels, self.residual_hidden, self.residual_layers, context)
        x = Conv(self.num_outputs * self.code_channels, kernel_size=1, stride=1, name="output")(x)
        # num_outputs becomes the first axis: the vector of a Gaussian is all means, then all log-variances.
        return jnp.moveaxis(x.reshape(*x.shape[:2], self.num_outputs, self.code_channels), 2, 0).ravel()


class ResidualDecoder(nn.Module):
    """3x3 convolution `features` of the codes, then the layers of `upsampled`."""

    channels: Sequence[int]
    residual_hidden: int
    residual_layers: int
    code_channels: int
    output_shape: Sequence[int]
    output_bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, z: jax.Array, context: jax.Array | None = None) -> jax.Array:
        x = z.reshape(*halved(self.output_shape, len(self.channels)), self.code_channels)
        x = Conv(self.channels[-1], kernel_size=3, stride=1, name="features")(x)
        x = modulated(x, context, "features_context")
        return upsampled(
            x,
            self.channels,
            self.residual_hidden,
            self.residual_layers,
            self.output_shape,
            self.output_bias_init,
            context,
        )


def check_layers(
    image_shape: Sequence[int], channels: Sequence[int], residual_hidden: int, residual_layers: int
) -> None:
    """Raises ValueError if a size is below 1, residual_layers below 0, or the image too small for the halvings."""
    check_sizes("channels", channels)
    check_counts(residual_hidden=residual_hidden)
    check_count("residual_layers", residual_layers, 0)
    check_halvings(image_shape, channels)


def residual_encoder(
    image_shape: Sequence[int],
    code_channels: int,
    channels: Sequence[int] = (64, 128),
    residual_hidden: int = 32,
    residual_layers: int = 2,
    num_outputs: int = 2,
    context_size: int = 0,
) -> Network:
    """Residual encoder: image `[H, W, C]` -> vector `[num_outputs * h * w * D]`, h = H / 2^len(channels), rounded up.

    With num_outputs = 2, this is the encoder of `gaussian_vae(encoder, decoder, latent_dim=h * w * D)`.

    Args:
      image_shape: shape of one example.
      code_channels: D, the length of the code of one place.
      channels: numbers of channels of the layers that halve the image; the following layers have the last of them.
      residual_hidden: number of channels inside a residual layer.
      residual_layers: number of residual layers, at least 0.
      num_outputs: number of arrays `[h, w, D]` in the output: 2 for a mean and a log-variance, 1 for a code.
      context_size: length of the context, which scales and shifts the channels after each convolution before the
        residual layers (Perez et al. 2018, arXiv:1709.07871); 0 for a network without a context.

    Raises:
      ValueError: if H or W is 1 before the last halving, or a size is below 1.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.1. The channels, and the ReLU after the 3x3
    convolution, are those of DeepMind's published example (Sonnet 2, `vqvae_example.ipynb`).
    """
    check_sizes("image_shape", image_shape)
    check_counts(code_channels=code_channels, num_outputs=num_outputs)
    check_layers(image_shape, channels, residual_hidden, residual_layers)
    encoder = ResidualEncoder(tuple(channels), residual_hidden, residual_layers, code_channels, num_outputs)
    return from_linen(encoder, image_shape, context_size)


def residual_decoder(
    code_channels: int,
    output_shape: Sequence[int],
    channels: Sequence[int] = (64, 128),
    residual_hidden: int = 32,
    residual_layers: int = 2,
    output_bias: ArrayLike | None = None,
    context_size: int = 0,
) -> Network:
    """Residual decoder: code `[h * w * D]` -> array `[H, W, ...]`.

    Arguments are those of `residual_encoder` and `conv_decoder`.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.1.
    """
    check_sizes("output_shape", output_shape)
    check_counts(code_channels=code_channels)
    check_layers(output_shape, channels, residual_hidden, residual_layers)
    per_pixel = 0.0 if output_bias is None else jnp.asarray(output_bias).mean(axis=(0, 1)).ravel()
    decoder = ResidualDecoder(
        tuple(channels),
        residual_hidden,
        residual_layers,
        code_channels,
        tuple(output_shape),
        nn.initializers.constant(per_pixel),
    )
    grid = halved(output_shape, len(channels))
    return from_linen(decoder, (math.prod(grid) * code_channels,), context_size)


class Pointwise(nn.Module):
    """1x1 convolution `output`."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return Conv(self.features, kernel_size=1, stride=1, name="output")(x).ravel()


def pointwise(grid_shape: Sequence[int], features: int) -> Network:
    """1x1 convolution: grid `[h, w, C]` -> vector `[h * w * features]`."""
    check_sizes("grid_shape", grid_shape)
    check_counts(features=features)
    return from_linen(Pointwise(features), grid_shape)
