"""beta-VAE (Higgins et al. 2017): beta weights the rate in the loss; beta above 1 trades detail for simpler codes.

    python -m experiments.beta_vae --beta 4
    python -m experiments.beta_vae --data mnist --beta 0.5 --epochs 30

The numbers in the summary are the true ELBO, rate and distortion, whatever beta is.
"""

from vae_jax.cli.train import main
from vae_jax.runs import BETA_VAE

RECIPE = BETA_VAE

if __name__ == "__main__":
    main(RECIPE, __doc__)
