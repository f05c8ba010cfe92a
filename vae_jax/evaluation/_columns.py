"""Distortion of each entry of an example, such as each column of a table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import log_prob_terms_of
from vae_jax.evaluation._elbo import mean_over_samples
from vae_jax.models._model import VAE, Example, Model
from vae_jax.params import Params


def distortion_terms(vae: VAE, params: Params, key: jax.Array, x: Any) -> Any:
    """Terms of -log p(x | z), z ~ q(z | x), in nats, in the structure of x; their sum estimates the distortion."""
    terms = log_prob_terms_of(vae.decode(params, vae.encode(params, x).sample(key)), x)
    return jax.tree.map(jnp.negative, terms)


def mean_distortion_terms(model: Model, params: Params, key: jax.Array, xs: Example, num_samples: int) -> Any:
    """Mean of each term of the distortion over the examples in which its entry is observed.

    Args:
      model: a model of examples with missing values (`models.with_missing`).
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `Example(xs, masks)` with a leading axis `[N]`.
      num_samples: number of draws of z per example.

    Returns:
      Nats in the structure of one x; NaN for entries that are observed in no example.
    """
    terms = mean_over_samples(distortion_terms, model, params, key, xs, num_samples)
    # The terms of missing entries are 0.
    return jax.tree.map(lambda terms, seen: jnp.sum(terms, 0) / jnp.sum(jnp.asarray(seen), 0), terms, xs.context)
