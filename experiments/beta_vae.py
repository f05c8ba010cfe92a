"""beta-VAE (Higgins et al. 2017): the rate weighed by beta in the loss; beta above 1 buys simpler codes with detail.

    python -m experiments.beta_vae --beta 4
    python -m experiments.beta_vae --data mnist --beta 0.5 --epochs 30

The numbers in the summary are the true ELBO, rate and distortion, whatever beta is.
"""

from vae_jax.experiment import BETA_VAE, main

METHOD = BETA_VAE

if __name__ == "__main__":
    main(METHOD, __doc__)
