"""The beta-VAE as an experiment, which more than one script runs."""

from __future__ import annotations

import dataclasses

from vae_jax.evaluation import measure_vae
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import make_gaussian_vae
from vae_jax.experiment.settings import Settings
from vae_jax.objectives import beta_vae_loss


@dataclasses.dataclass(frozen=True)
class BetaSettings(Settings):
    """What the beta-VAE can be told."""

    beta: float = 4.0
    """weight of the rate in the loss, at least 0; likelihoods are sums over pixels, so 1 is the VAE"""


BETA_VAE = Method(
    "beta_vae",
    "beta-VAE",
    make_gaussian_vae,
    lambda settings: beta_vae_loss(settings.beta),
    measure_vae,
    defaults=BetaSettings(),
    description="The beta-VAE of Higgins et al. 2017: the VAE with a weight on its rate.",
    conditional=True,
)
