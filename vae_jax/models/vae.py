"""The one record that everything here is built on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution
from vae_jax.quantizers.buffers import Params as Params
from vae_jax.quantizers.buffers import join_buffers as join_buffers
from vae_jax.quantizers.buffers import split_buffers as split_buffers


class VAE(NamedTuple):
    """A variational autoencoder: an `init` and three functions that return distributions over one event.

    Write these four for a network of your own; every objective, trainer and evaluator here takes the result.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params
    encode: Callable[[Params, jax.Array], Distribution]  # (params, x) -> q(z | x)
    prior: Callable[[Params], Distribution]  # (params) -> p(z)
    decode: Callable[[Params, Any], Distribution]  # (params, z) -> p(x | z)


def model_input(name: str, x: ArrayLike) -> jax.Array:
    """The argument of that name as an array; raises TypeError where it holds raw pixels, which no model sees."""
    x = jnp.asarray(x)
    if x.dtype == jnp.uint8:
        raise TypeError(
            f"{name} holds raw uint8 pixels: give what the model sees, for example vae_jax.data.binarize(key, {name}); "
            "vae_jax.objectives.on_prepared makes it in the training step"
        )
    return x
