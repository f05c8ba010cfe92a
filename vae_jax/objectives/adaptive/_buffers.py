"""Numbers of an objective that are kept in the buffers of a model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.params import Params


def buffer_of(params: Params, name: str, objective: str, builder: str) -> dict[str, jax.Array]:
    """Numbers under a name of `params["buffers"]`.

    Raises:
      ValueError: if the model has no such buffers.
    """
    if name not in (params.get("buffers") or {}):
        raise ValueError(f"model: {objective} needs a model with the buffers that {builder}(model) adds")
    return params["buffers"][name]


def with_buffer(params: Params, name: str, numbers: dict[str, jax.Array]) -> Any:
    """The buffers of a model with new numbers under a name, without gradients."""
    return {**params["buffers"], name: jax.lax.stop_gradient(numbers)}


def moving_average(average: jax.Array, updates: jax.Array, value: jax.Array, decay: float) -> jax.Array:
    """Mean of the values so far, and from 1 / (1 - decay) values on their exponential moving average."""
    return average + jnp.maximum(1.0 / (updates + 1.0), 1.0 - decay) * (value - average)
