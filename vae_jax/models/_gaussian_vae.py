"""VAE of Kingma & Welling 2014: a diagonal Normal posterior, a standard Normal prior, any likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_sizes
from vae_jax.models import posteriors
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._model import VAE
from vae_jax.models._vae import vae
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import Network, conv_decoder, conv_encoder, mlp_decoder, mlp_encoder


def gaussian_vae(encoder: Network, decoder: Network, latent_dim: int, likelihood: Likelihood = bernoulli) -> VAE:
    """q(z|x) = N(mean(x), diag exp(log_variance(x))), p(z) = N(0, I), p(x|z) = likelihood(decoder(z)).

    Args:
      encoder: x -> `[2 * latent_dim]`, the mean followed by the log-variance.
      decoder: z `[latent_dim]` -> outputs of shape `likelihood.output_shape(x.shape)`.
      latent_dim: D, the length of z; at least 1.
      likelihood: one of `vae_jax.models.likelihoods`, or your own.

    Raises:
      ValueError: if latent_dim is below 1; by `encode`, if the encoder does not give `2 * latent_dim` numbers.

    Source: Kingma & Welling 2014 (arXiv:1312.6114).
    """
    check_latent_dim(latent_dim)
    return vae(encoder, decoder, posteriors.normal(latent_dim), likelihood)


def mlp_vae(
    image_shape: Sequence[int],
    latent_dim: int = 20,
    hidden: Sequence[int] = (400,),
    likelihood: Likelihood = bernoulli,
    data_mean: ArrayLike | None = None,
) -> VAE:
    """Gaussian VAE with ReLU MLPs: image -> hidden -> z -> hidden reversed -> image.

    Args:
      image_shape: `[H, W, C]`.
      latent_dim: length of z.
      hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
      likelihood: likelihood of the pixels.
      data_mean: mean training image `[H, W, C]` in [0, 1], to initialize the decoder's output bias. Default: zero bias.
    """
    check_latent_dim(latent_dim)
    check_sizes("hidden", hidden)
    check_sizes("image_shape", image_shape)
    encoder = mlp_encoder(image_shape, 2 * latent_dim, hidden)
    outputs = likelihood.output_shape(image_shape)
    decoder = mlp_decoder(latent_dim, outputs, tuple(hidden)[::-1], output_bias(likelihood, data_mean))
    return gaussian_vae(encoder, decoder, latent_dim, likelihood)


def conv_vae(
    image_shape: Sequence[int],
    latent_dim: int = 20,
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    likelihood: Likelihood = bernoulli,
    data_mean: ArrayLike | None = None,
    kernel_sizes: Sequence[int] | None = None,
) -> VAE:
    """Gaussian VAE with convolutions of stride 2, 4x4 by default; arguments as in `mlp_vae` and `conv_encoder`.

    Raises:
      ValueError: if height or width is 1 before the last halving, or a kernel size is odd or below 2.
    """
    check_latent_dim(latent_dim)
    encoder = conv_encoder(image_shape, 2 * latent_dim, channels, hidden, kernel_sizes=kernel_sizes)
    outputs = likelihood.output_shape(image_shape)
    bias = output_bias(likelihood, data_mean)
    decoder = conv_decoder(latent_dim, outputs, channels, hidden, bias, kernel_sizes=kernel_sizes)
    return gaussian_vae(encoder, decoder, latent_dim, likelihood)


def output_bias(likelihood: Likelihood, data_mean: ArrayLike | None) -> jax.Array | None:
    """Initial outputs of the decoder, which give the mean image `data_mean`; None if data_mean is None."""
    return None if data_mean is None else likelihood.initial_outputs(jnp.asarray(data_mean, jnp.float32))
