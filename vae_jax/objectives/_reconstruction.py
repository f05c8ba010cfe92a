"""Loss of an autoencoder: the distortion alone."""

from __future__ import annotations

from typing import Any

import chex
import jax

from vae_jax.models._model import VAE, model_input
from vae_jax.objectives._batch import Metrics, mean_over_batch
from vae_jax.objectives._elbo import log_likelihood_of
from vae_jax.params import Params


def distortion(model: VAE, params: Params, key: jax.Array, x: Any) -> jax.Array:
    """Distortion -log p(x | z) at one z ~ q(z | x) (the only z, if q is a Delta): a scalar in nats."""
    x = model_input("x", x)
    log_likelihood = log_likelihood_of(model.decode(params, model.encode(params, x).sample(key)), x)
    chex.assert_rank(log_likelihood, 0)  # it must be summed over the event
    return -log_likelihood


@mean_over_batch
def reconstruction_loss(model: VAE, params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
    """The distortion, a mean over the batch in nats per example, with one z per example."""
    loss = distortion(model, params, key, x)
    return loss, {"distortion": loss}
