"""Models with numbers in `params["buffers"]` that an objective updates from each batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, Normal, mean_of
from vae_jax.models._model import VAE
from vae_jax.params import Params, join_buffers, split_buffers

# Keys in params["buffers"].
OPTIMAL_VARIANCE = "optimal_variance"
CONSTRAINT = "constraint"


def with_optimal_variance(model: VAE) -> VAE:
    """Returns the VAE with p(x | z) = N(mean of model's p(x | z), s^2 I): one variance, kept in the buffers.

    `objectives.optimal_variance_loss` sets s^2 to a moving average of the variances that are optimal for each batch; it
    is 1 before the first. The buffers are under "optimal_variance".

    Args:
      model: a VAE of examples that are one array without missing entries, whose likelihood has a mean:
        `likelihoods.fixed_normal(1.0)`, or `likelihoods.bernoulli` for means between 0 and 1.

    Raises:
      TypeError: by `decode` of the result, if entries of the examples may be missing (`with_missing`).

    Source: Rybkin et al. 2021 (arXiv:2006.13202), section 3.
    """

    def decode(params: Params, z: Any) -> Normal:
        mean = mean_of_whole(model.decode(params, z))
        log_variance = jnp.log(params["buffers"][OPTIMAL_VARIANCE]["variance"])
        return Normal(mean, jnp.full(mean.shape, log_variance))

    start = {"variance": jnp.ones(()), "updates": jnp.zeros(())}
    return _with_buffer(model, OPTIMAL_VARIANCE, start)._replace(decode=decode)


def mean_of_whole(distribution: Distribution) -> jax.Array:
    """Mean of a distribution of whole examples.

    Raises:
      TypeError: if entries may be missing: the errors of missing entries are not known.
    """
    if hasattr(distribution, "observed"):
        raise TypeError("model: the optimal variance needs examples without missing entries, got a model with_missing")
    return mean_of(distribution)


def with_multiplier(model: VAE) -> VAE:
    """Returns the VAE with the Lagrange multiplier and the average constraint of `objectives.geco_loss` as buffers.

    The multiplier is 1 at first. The buffers are under "constraint".

    Source: Rezende & Viola 2018 (arXiv:1810.00597), algorithm 1.
    """
    start = {"log_multiplier": jnp.zeros(()), "average": jnp.zeros(()), "updates": jnp.zeros(())}
    return _with_buffer(model, CONSTRAINT, start)


def _with_buffer(model: VAE, name: str, start: dict[str, jax.Array]) -> VAE:
    def init(key: jax.Array) -> Params:
        trained, buffers = split_buffers(model.init(key))
        return join_buffers(trained, {**(buffers or {}), name: start})

    return model._replace(init=init)
