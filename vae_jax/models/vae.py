"""The one record that everything here is built on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution

Params = Any  # a plain dict of arrays; untrained leaves, where there are any, under the top-level key "buffers"


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


def split_buffers(params: Params) -> tuple[Params, Any]:
    """The trained leaves of params, and `params["buffers"]` (None where the model has no such key)."""
    if not isinstance(params, dict) or "buffers" not in params:
        return params, None
    return {name: value for name, value in params.items() if name != "buffers"}, params["buffers"]


def join_buffers(trained: Params, buffers: Any) -> Params:
    """The inverse of `split_buffers`."""
    return trained if buffers is None else {**trained, "buffers": buffers}
