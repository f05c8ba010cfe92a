"""VQ-VAE on images: networks, quantizer, and initial codebook."""

from __future__ import annotations

import jax
import numpy as np

from vae_jax.models import VAE, output_bias, vq_vae, with_codes_fitted
from vae_jax.networks import halved, residual_decoder, residual_encoder
from vae_jax.runs.choices import BINARIZATIONS, CODE_PRIORS, LIKELIHOODS, OPTIMIZERS, QUANTIZERS, SCHEDULES
from vae_jax.runs.choices.networks import check_channels
from vae_jax.runs.images.problem import BITS_SEED, Problem, train_images
from vae_jax.runs.images.vae import configured
from vae_jax.runs.settings import CodeSettings

AXES = (QUANTIZERS, CODE_PRIORS, LIKELIHOODS, BINARIZATIONS, OPTIMIZERS, SCHEDULES)


def make_model(settings: CodeSettings, problem: Problem) -> VAE:
    """Builds the VQ-VAE that the settings describe.

    Raises:
      ValueError: if a number does not suit the quantizer, or the images are too small for the networks.
    """
    check_channels(settings.channels, problem.image_shape)
    layers = {"residual_hidden": settings.residual_hidden, "residual_layers": settings.residual_layers}
    encoder = residual_encoder(problem.image_shape, settings.latent_dim, settings.channels, num_outputs=1, **layers)
    outputs = problem.likelihood.output_shape(problem.image_shape)
    bias = output_bias(problem.likelihood, problem.mean_image)
    decoder = residual_decoder(settings.latent_dim, outputs, settings.channels, output_bias=bias, **layers)
    grid = halved(problem.image_shape, len(settings.channels))
    networks = configured(settings, encoder), configured(settings, decoder)
    model = vq_vae(*networks, QUANTIZERS.build(settings, settings.latent_dim), grid, problem.likelihood)
    if not settings.k_means_images:
        return model
    images, _ = train_images(problem, np.arange(min(settings.k_means_images, problem.num_examples)))
    return with_codes_fitted(model, problem.prepare(jax.random.key(BITS_SEED), images))
