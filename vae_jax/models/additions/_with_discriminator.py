"""Models with the parameters of a discriminator, which an objective trains adversarially."""

from __future__ import annotations

import jax

from vae_jax.models._model import VAE
from vae_jax.networks import Network
from vae_jax.params import Params

DISCRIMINATOR = "discriminator"  # key in params


def with_discriminator(model: VAE, discriminator: Network) -> VAE:
    """Returns the VAE with the parameters of a discriminator of latent codes under "discriminator".

    The discriminator of Kim & Mnih for 10 dimensions is `mlp_encoder((10,), 1, (1000,) * 6, jax.nn.leaky_relu)` with a
    slope of 0.2. It has two logits in the paper; the single logit here is their difference.

    Args:
      model: the VAE; encode, prior and decode do not use the discriminator.
      discriminator: latent code `[D]` -> logit `[1]`.

    Source: Kim & Mnih 2018 (arXiv:1802.05983).
    """

    def init(key: jax.Array) -> Params:
        model_key, discriminator_key = jax.random.split(key)
        return {**model.init(model_key), DISCRIMINATOR: discriminator.init(discriminator_key)}

    return model._replace(init=init)
