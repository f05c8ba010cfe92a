"""The objectives of the disentanglement experiment: each with its model, its optimizer and its examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import optax
from jax.typing import ArrayLike

from vae_jax import objectives
from vae_jax.data import FactorData, render_images, render_pairs
from vae_jax.experiment.disentanglement.settings import DisentangleSettings, ObjectiveName
from vae_jax.models import VAE, gaussian_vae, likelihoods, with_discriminator
from vae_jax.networks import Network, conv_decoder, conv_encoder, mlp_encoder
from vae_jax.objectives import Objective, schedules
from vae_jax.training import Examples, drawn, partitioned

_CHANNELS, _HIDDEN = (32, 32, 64, 64), 256


def make_model(settings: DisentangleSettings, image_shape: Sequence[int]) -> VAE:
    """disentanglement_lib's convolutional network: 4x4 32, 4x4 32, 2x2 64, 2x2 64, each of stride 2, and dense 256.

    The decoder is its mirror image, with kernels of 4x4 throughout. Bernoulli pixels, as there.

    Source: Locatello et al. 2019 (arXiv:1811.12359), appendix B.
    """
    dim = settings.latent_dim
    encoder = conv_encoder(image_shape, 2 * dim, _CHANNELS, _HIDDEN, kernel_sizes=(4, 4, 2, 2))
    decoder = conv_decoder(dim, (*image_shape, 1), _CHANNELS, _HIDDEN)
    model = gaussian_vae(encoder, decoder, dim, likelihoods.bernoulli)
    return with_discriminator(model, discriminator(dim)) if settings.objective == "factor" else model


def discriminator(latent_dim: int) -> Network:
    """Six layers of 1000, as in Kim & Mnih 2018 (arXiv:1802.05983), appendix A."""
    return mlp_encoder((latent_dim,), 1, (1000,) * 6, lambda x: jax.nn.leaky_relu(x, 0.2))


def make_optimizer(settings: DisentangleSettings) -> optax.GradientTransformation:
    """Adam; a discriminator has its own, with the paper's rate and decays (appendix A)."""
    own = optax.adam(settings.learning_rate)
    if settings.objective != "factor":
        return own
    return partitioned(own, {"discriminator": optax.adam(1e-4, b1=0.5, b2=0.9)})


def make_examples(settings: DisentangleSettings, data: FactorData) -> Examples:
    """Images of combinations of factors that are drawn anew at every step; for Ada-GVAE pairs that share some of them.

    To be made once for a run: each call makes a new function, and with it a new program.
    """
    at = partial(render_images, data.render)
    if settings.objective == "ada_gvae":
        at = partial(render_pairs, data.render, data.factor_sizes, settings.changed_factors)
    return Examples(data.table, data.num_images, at, drawn)


def make_objective(settings: DisentangleSettings, data: FactorData, weight: ArrayLike) -> Objective:
    """The objective with its weight, which may be traced."""
    return _OBJECTIVES[settings.objective](settings, data, weight)


def _capacity(settings: DisentangleSettings, data: FactorData, gamma: ArrayLike) -> Objective:
    rise = schedules.linear(max(1, settings.steps // 3), 0.0, settings.max_capacity)
    return objectives.scheduled(lambda nats: objectives.capacity_loss(gamma, nats), rise)


def _info(settings: DisentangleSettings, data: FactorData, weight: ArrayLike) -> Objective:
    return objectives.info_vae_loss(1.0, weight, objectives.gaussian_kernel(settings.latent_dim**2 / 2))


def _wae(settings: DisentangleSettings, data: FactorData, weight: ArrayLike) -> Objective:
    return objectives.wae_mmd_loss(weight, objectives.inverse_multiquadratic_kernel(2 * settings.latent_dim))


_OBJECTIVES: dict[ObjectiveName, Callable[[DisentangleSettings, FactorData, Any], Objective]] = {
    "beta": lambda settings, data, weight: objectives.beta_vae_loss(weight),
    "tc": lambda settings, data, weight: objectives.beta_tcvae_loss(weight, objectives.stratified(data.num_images)),
    "factor": lambda settings, data, weight: objectives.factor_vae_loss(
        weight, discriminator(settings.latent_dim).apply
    ),
    "dip_i": lambda settings, data, weight: objectives.dip_vae_i_loss(weight),
    "dip_ii": lambda settings, data, weight: objectives.dip_vae_ii_loss(weight),
    "info": _info,
    "wae": _wae,
    "capacity": _capacity,
    "ada_gvae": lambda settings, data, weight: objectives.ada_gvae_loss(weight),
}
