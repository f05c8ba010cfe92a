"""The variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images.

    python -m experiments.vae
    python -m experiments.vae --data mnist --epochs 30

The first takes about half a minute on two cores (100 epochs of 3,600 digits) and needs no network.
"""

from vae_jax.evaluation import measure_vae
from vae_jax.experiment import Method, Problem, Settings, main, make_networks
from vae_jax.models import VAE, gaussian_vae
from vae_jax.objectives import negative_elbo


def make_model(settings: Settings, problem: Problem) -> VAE:
    encoder, decoder = make_networks(settings, problem, 2 * settings.latent_dim)
    return gaussian_vae(encoder, decoder, settings.latent_dim, problem.likelihood)


METHOD = Method("vae", "VAE", make_model, lambda settings: negative_elbo, measure_vae)

if __name__ == "__main__":
    main(METHOD, Settings(), __doc__)
