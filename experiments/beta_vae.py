"""beta-VAE (Higgins et al. 2017): the rate weighed by beta in the loss; beta above 1 buys simpler codes with detail.

    python -m experiments.beta_vae --beta 4
    python -m experiments.beta_vae --data mnist --beta 0.5 --epochs 30

The numbers in the summary are the true ELBO, rate and distortion, whatever beta is.
"""

import dataclasses

from vae_jax.evaluation import measure_vae
from vae_jax.experiment import Method, Settings, main, make_gaussian_vae
from vae_jax.objectives import beta


@dataclasses.dataclass(frozen=True)
class BetaSettings(Settings):
    """What the beta-VAE can be told."""

    beta: float = 4.0
    """weight of the rate in the loss, at least 0; likelihoods are sums over pixels, so 1 is the VAE"""


METHOD = Method("beta_vae", "beta-VAE", make_gaussian_vae, lambda settings: beta(settings.beta), measure_vae)

if __name__ == "__main__":
    main(METHOD, BetaSettings(), __doc__)
