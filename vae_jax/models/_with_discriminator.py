"""A model with a second network among its params, which an objective trains against it."""

from __future__ import annotations

import jax

from vae_jax.models._model import VAE
from vae_jax.networks import Network
from vae_jax.params import Params

DISCRIMINATOR = "discriminator"  # its key in params


def with_discriminator(model: VAE, discriminator: Network) -> VAE:
    """The same VAE, its params with those of a discriminator of codes under "discriminator".

    Kim & Mnih's for 10 dimensions: `mlp_encoder((10,), 1, (1000,) * 6, jax.nn.leaky_relu)` with a slope of 0.2, and two
    logits where this has their difference.

    Args:
      model: the VAE; encode, prior and decode do not see the discriminator.
      discriminator: a code `[D]` -> a logit `[1]`.

    Source: Kim & Mnih 2018 (arXiv:1802.05983).
    """

    def init(key: jax.Array) -> Params:
        model_key, discriminator_key = jax.random.split(key)
        return {**model.init(model_key), DISCRIMINATOR: discriminator.init(discriminator_key)}

    return model._replace(init=init)
