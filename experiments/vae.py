"""The variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images.

    python -m experiments.vae
    python -m experiments.vae --data mnist --epochs 30

The first takes about a minute on two cores (100 epochs of 3,600 digits) and needs no network.
"""

from vae_jax.evaluation import measure_vae
from vae_jax.experiment import Method, main, make_gaussian_vae
from vae_jax.objectives import negative_elbo

METHOD = Method("vae", "VAE", make_gaussian_vae, lambda settings: negative_elbo, measure_vae)

if __name__ == "__main__":
    main(METHOD, __doc__)
