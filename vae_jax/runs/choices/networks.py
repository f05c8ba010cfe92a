"""Encoder and decoder networks by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from vae_jax.networks import (
    Network,
    conv_decoder,
    conv_encoder,
    mlp_decoder,
    mlp_encoder,
    resnet_decoder,
    resnet_encoder,
)
from vae_jax.runs.choices._choice import Axis, Choice


class Shapes(NamedTuple):
    """Sizes of an encoder and its decoder, and the initial bias of the decoder's outputs."""

    image: tuple[int, ...]  # (H, W, C)
    encoder_outputs: int
    latent_dim: int
    decoder_outputs: tuple[int, ...]
    output_bias: Any
    context_size: int  # length of the vector of side information; 0: none


def check_channels(channels: Sequence[int], image_shape: Sequence[int]) -> None:
    """Raises ValueError if an image is too small for convolutions that halve it once for each number of channels."""
    height, width, *_ = image_shape
    if min(height, width) <= (least := 2 ** (len(channels) - 1)):
        raise ValueError(
            f"--channels: {len(channels)} convolutions that halve the image need more than {least} pixels in height "
            f"and width, got images of {height} x {width}: give fewer numbers"
        )


def _mlp(shapes: Shapes, *, hidden: tuple[int, ...]) -> tuple[Network, Network]:
    bias, context = shapes.output_bias, shapes.context_size
    encoder = mlp_encoder(shapes.image, shapes.encoder_outputs, hidden, context_size=context)
    return encoder, mlp_decoder(shapes.latent_dim, shapes.decoder_outputs, hidden[::-1], bias, context_size=context)


def _conv(shapes: Shapes, *, hidden: tuple[int, ...], channels: tuple[int, ...]) -> tuple[Network, Network]:
    if len(hidden) != 1:
        raise ValueError(f"--network conv has one dense layer: give one width to --hidden, got {len(hidden)}")
    check_channels(channels, shapes.image)
    sizes, bias, context = (channels, hidden[0]), shapes.output_bias, shapes.context_size
    encoder = conv_encoder(shapes.image, shapes.encoder_outputs, *sizes, context_size=context)
    return encoder, conv_decoder(shapes.latent_dim, shapes.decoder_outputs, *sizes, bias, context_size=context)


def _residual(
    shapes: Shapes, *, channels: tuple[int, ...], residual_hidden: int, residual_layers: int
) -> tuple[Network, Network]:
    check_channels(channels, shapes.image)
    layers = {
        "residual_hidden": residual_hidden,
        "residual_layers": residual_layers,
        "context_size": shapes.context_size,
    }
    encoder = resnet_encoder(shapes.image, shapes.encoder_outputs, channels, **layers)
    bias = shapes.output_bias
    return encoder, resnet_decoder(shapes.latent_dim, shapes.decoder_outputs, channels, output_bias=bias, **layers)


NETWORKS = Axis(
    "network",
    Choice("mlp", _mlp, "dense layers (multilayer perceptron)", (mlp_encoder,)),
    Choice("conv", _conv, "4x4 convolutions of stride 2 and a dense layer", (conv_encoder,)),
    Choice("residual", _residual, "convolutions of stride 2, residual layers and a dense layer", (resnet_encoder,)),
)
