"""The variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images.

    python -m experiments.vae
    python -m experiments.vae --data mnist --epochs 30

The first takes about a minute on two cores (100 epochs of 3,600 digits) and needs no network.
"""

from vae_jax.experiment import VAE, main

METHOD = VAE

if __name__ == "__main__":
    main(METHOD, __doc__)
