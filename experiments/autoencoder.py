"""Deterministic autoencoder: no noise and no rate; a Normal is fitted to its codes after training, for sampling.

    python -m experiments.autoencoder
    python -m experiments.autoencoder --data mnist --latent-dim 2 --epochs 30

Its distortion is the limit of a VAE's distortion as beta goes to 0; its ELBO is not defined (null in the summary). The
fitted prior is that of Ghosh et al. 2020 (arXiv:1903.12436), section 4, with a diagonal covariance.
"""

from vae_jax.cli.train import main
from vae_jax.runs import AUTOENCODER

RECIPE = AUTOENCODER

if __name__ == "__main__":
    main(RECIPE, __doc__)
