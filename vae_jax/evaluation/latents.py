"""What the posterior does with each latent dimension."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Normal, kl_divergence, mean_of
from vae_jax.evaluation.examples import over_examples
from vae_jax.models.vae import VAE, Params

ACTIVE_THRESHOLD = 0.01


@partial(jax.jit, static_argnames=("model", "batch_size"))
def posterior_means(model: VAE, params: Params, xs: ArrayLike, batch_size: int = 100) -> jax.Array:
    """The mean of q(z | x) of every example, `[N, D]`; one jitted, chunked program."""
    unused = jax.random.key(0)  # the mean needs no noise
    return over_examples(lambda params, _, x: mean_of(model.encode(params, x)), params, unused, xs, batch_size)


def active_units(means: ArrayLike, threshold: float = ACTIVE_THRESHOLD) -> jax.Array:
    """The number of dimensions u with Var_x(E[z_u | x]) > threshold: those that the posterior uses.

    Args:
      means: `[N, D]` posterior means over a data set.
      threshold: 0.01 in the paper, in units of the prior's variance.

    Returns:
      An int32 scalar between 0 and D.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 5.2.
    """
    means = jnp.asarray(means)
    chex.assert_rank(means, 2)
    return jnp.sum(jnp.var(means, axis=0) > threshold).astype(jnp.int32)


@partial(jax.jit, static_argnames=("model", "batch_size"))
def kl_per_dimension(model: VAE, params: Params, xs: ArrayLike, batch_size: int = 100) -> jax.Array:
    """The mean over the examples of KL(q(z_d | x) || p(z_d)) for every dimension d: `[D]`, in nats.

    It sums to the rate: a diagonal Normal posterior and prior factorise over the dimensions.

    Raises:
      TypeError: where posterior or prior is not a diagonal Normal.
    """

    def example(params: Params, key: jax.Array, x: jax.Array) -> jax.Array:
        posterior, prior = model.encode(params, x), model.prior(params)
        if not (isinstance(posterior, Normal) and isinstance(prior, Normal)):
            names = f"{type(posterior).__name__} and {type(prior).__name__}"
            raise TypeError(f"kl_per_dimension needs a diagonal Normal posterior and prior, got {names}")
        return jax.vmap(kl_divergence)(posterior, prior)

    unused = jax.random.key(0)  # the divergence has a closed form
    return jnp.mean(over_examples(example, params, unused, xs, batch_size), axis=0)
