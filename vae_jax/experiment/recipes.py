"""The recipes: experiments that can be trained by their name, wherever the package is installed."""

from __future__ import annotations

from vae_jax.evaluation import measure_autoencoder, measure_vae, posterior_means
from vae_jax.experiment.beta_vae import BETA_VAE
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import Problem, make_gaussian_vae, make_networks
from vae_jax.experiment.settings import Settings
from vae_jax.experiment.vq_vae import VQ_VAE
from vae_jax.models import autoencoder, fit_prior
from vae_jax.models._model import VAE as Model
from vae_jax.objectives import negative_elbo, reconstruction_loss

VAE = Method(
    "vae",
    "VAE",
    make_gaussian_vae,
    lambda settings: negative_elbo,
    measure_vae,
    description="The variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images.",
    conditional=True,
)


def make_autoencoder(settings: Settings, problem: Problem) -> Model:
    """The deterministic autoencoder that the settings describe."""
    encoder, decoder = make_networks(settings, problem, settings.latent_dim)
    return autoencoder(encoder, decoder, settings.latent_dim, problem.likelihood)


AUTOENCODER = Method(
    "autoencoder",
    "Autoencoder",
    make_autoencoder,
    lambda settings: reconstruction_loss,
    measure_autoencoder,
    after_training=lambda model, params, xs: fit_prior(params, posterior_means(model, params, xs)),
    description="The deterministic autoencoder, and a Normal fitted to its codes (Ghosh et al. 2020, arXiv:1903.12436)",
)

RECIPES = {method.name: method for method in (VAE, BETA_VAE, AUTOENCODER, VQ_VAE)}
