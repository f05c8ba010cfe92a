"""Models of the workloads, with the matrix products of their training steps, and their training images."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from experiments.lib.benchmark.flops import AND_WEIGHTS, Product, conv_product, dense_products
from vae_jax import data
from vae_jax.models import gaussian_vae
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli, fixed_normal
from vae_jax.networks import (
    Network,
    conv_decoder,
    conv_encoder,
    in_precision,
    mlp_decoder,
    mlp_encoder,
    residual_decoder,
    residual_encoder,
)

IMAGE, HIDDEN, LATENT = (28, 28, 1), 400, 20
SPRITE, SPRITE_LATENT, CHANNELS, DENSE = (64, 64, 1), 10, (32, 32, 64, 64), 256
KERNELS = (4, 4, 2, 2)
COLOR, CODE_CHANNELS = (32, 32, 3), 64


def mlp(dtype: jnp.dtype) -> VAE:
    """MLP VAE 784-400-20-400-784, ReLU."""
    encoder = mlp_encoder(IMAGE, 2 * LATENT, (HIDDEN,))
    decoder = mlp_decoder(LATENT, (*IMAGE, 1), (HIDDEN,))
    return _gaussian(encoder, decoder, LATENT, dtype)


def mlp_products(batch: int) -> list[Product]:
    pixels = math.prod(IMAGE)
    encoder = dense_products(batch, (pixels, HIDDEN, 2 * LATENT), first=AND_WEIGHTS)
    return encoder + dense_products(batch, (LATENT, HIDDEN, pixels))


def conv(dtype: jnp.dtype) -> VAE:
    """Convolutional VAE with the usual network for dSprites, 64 x 64 x 1."""
    encoder = conv_encoder(SPRITE, 2 * SPRITE_LATENT, CHANNELS, DENSE, kernel_sizes=KERNELS)
    decoder = conv_decoder(SPRITE_LATENT, (*SPRITE, 1), CHANNELS, DENSE, kernel_sizes=KERNELS)
    return _gaussian(encoder, decoder, SPRITE_LATENT, dtype)


def conv_products(batch: int) -> list[Product]:
    grids = [SPRITE[0] >> (i + 1) for i in range(len(CHANNELS))]
    layers = list(zip(grids, KERNELS, (1, *CHANNELS[:-1]), CHANNELS, strict=True))
    code = grids[-1] ** 2 * CHANNELS[-1]
    return [
        *(conv_product(batch, *layer, AND_WEIGHTS) for layer in layers[:1]),
        *(conv_product(batch, *layer) for layer in layers[1:]),
        *dense_products(batch, (code, DENSE, 2 * SPRITE_LATENT)),
        *dense_products(batch, (SPRITE_LATENT, DENSE, code)),
        *(conv_product(batch, *layer) for layer in reversed(layers)),
    ]


def cifar(dtype: jnp.dtype) -> VAE:
    """VAE with the residual network of VQ-VAE on CIFAR-10 and a Gaussian code `[8, 8, 64]`.

    p(x | z) is a Normal of variance 1 / (2 pi), whose negative logarithm is pi |x - mean|^2, without a constant.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.1, for the network.
    """
    encoder = residual_encoder(COLOR, CODE_CHANNELS)
    decoder = residual_decoder(CODE_CHANNELS, (*COLOR, 1))
    return _gaussian(encoder, decoder, 8 * 8 * CODE_CHANNELS, dtype, fixed_normal(0.5 / math.pi))


def _gaussian(
    encoder: Network, decoder: Network, latent_dim: int, dtype: jnp.dtype, likelihood: Likelihood = bernoulli
) -> VAE:
    if dtype != jnp.float32:
        encoder, decoder = in_precision(encoder, dtype), in_precision(decoder, dtype)
    return gaussian_vae(encoder, decoder, latent_dim, likelihood)


def cifar_products(batch: int) -> list[Product]:
    residual = [conv_product(batch, 8, 3, 128, 32), conv_product(batch, 8, 1, 32, 128)] * 2
    return [
        conv_product(batch, 16, 4, 3, 64, AND_WEIGHTS),
        conv_product(batch, 8, 4, 64, 128),
        conv_product(batch, 8, 3, 128, 128),
        *residual,
        conv_product(batch, 8, 1, 128, 128),
        conv_product(batch, 8, 3, 64, 128),
        *residual,
        conv_product(batch, 8, 4, 64, 128),
        conv_product(batch, 16, 4, 3, 64),
    ]


def digits(count: int) -> np.ndarray:
    """Embedded digits, uint8 `[count, 28, 28, 1]`, repeated from the first if there are fewer."""
    images = data.load_images("digits").train
    return images[np.arange(count) % len(images)]


def sprites(count: int) -> np.ndarray:
    """Digits enlarged twice with a margin, uint8 `[count, 64, 64, 1]`."""
    return np.pad(digits(count).repeat(2, axis=1).repeat(2, axis=2), ((0, 0), (4, 4), (4, 4), (0, 0)))


def color_images(count: int) -> np.ndarray:
    """Digits with a margin in three equal channels, uint8 `[count, 32, 32, 3]`."""
    return np.pad(digits(count), ((0, 0), (2, 2), (2, 2), (0, 0))).repeat(3, axis=3)
