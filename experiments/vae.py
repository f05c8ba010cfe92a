"""Variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images.

    python -m experiments.vae
    python -m experiments.vae --data mnist --epochs 30

The first command takes about a minute on two cores (100 epochs of 3,600 digits) and needs no network.
"""

from vae_jax.cli.train import main
from vae_jax.runs import VAE

RECIPE = VAE

if __name__ == "__main__":
    main(RECIPE, __doc__)
