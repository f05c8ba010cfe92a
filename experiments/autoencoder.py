"""The deterministic autoencoder: no noise, no rate; a Normal is fitted to its codes afterwards, to sample from.

    python -m experiments.autoencoder
    python -m experiments.autoencoder --data mnist --latent-dim 2 --epochs 30

Its distortion is the floor that a VAE's approaches as beta goes to 0; an ELBO is not defined for it (null in the
summary). The fitted prior is that of Ghosh et al. 2020 (arXiv:1903.12436), section 4, with a diagonal covariance.
"""

from vae_jax.evaluation import measure_autoencoder, posterior_means
from vae_jax.experiment import Method, Problem, Settings, main, make_networks
from vae_jax.models import VAE, autoencoder, fit_prior
from vae_jax.objectives import reconstruction


def make_model(settings: Settings, problem: Problem) -> VAE:
    encoder, decoder = make_networks(settings, problem, settings.latent_dim)
    return autoencoder(encoder, decoder, settings.latent_dim, problem.likelihood)


METHOD = Method(
    "autoencoder",
    "Autoencoder",
    make_model,
    lambda settings: reconstruction,
    measure_autoencoder,
    after_training=lambda model, params, xs: fit_prior(params, posterior_means(model, params, xs)),
)

if __name__ == "__main__":
    main(METHOD, __doc__)
