"""Temperatures from 0 to 1, the schedule of a path from one density to another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.evaluation._require import require_at_least_one


def sigmoid_temperatures(num_steps: int, steepness: float = 4.0) -> np.ndarray:
    """Temperatures `[T + 1]` from 0 to 1, dense at both ends: sigmoid(steepness (2 t / T - 1)), shifted and scaled.

    Args:
      num_steps: T, at least 1.
      steepness: above 0; a larger number means more temperatures near 0 and 1.

    Source: Wu et al. 2017 (arXiv:1611.04273), whose code uses a steepness of 4.
    """
    require_at_least_one(num_steps=num_steps)
    check_number("steepness", steepness, 0.0, above=True)
    curve = 1.0 / (1.0 + np.exp(-steepness * np.linspace(-1.0, 1.0, num_steps + 1)))
    return (curve - curve[0]) / (curve[-1] - curve[0])


def checked_temperatures(temperatures: ArrayLike) -> jax.Array:
    """Temperatures `[T + 1]` in float32.

    Raises:
      ValueError: if they are not a vector of at least two numbers, do not start at 0, do not end at 1, or decrease.
    """
    values = np.asarray(temperatures)
    wanted = "temperatures must rise from 0 to 1, such as sigmoid_temperatures(1000)"
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"{wanted}; got an array of shape {values.shape}, not a vector of at least two numbers")
    if values[0] != 0 or values[-1] != 1:
        raise ValueError(f"{wanted}; got {values[0]:g} at the start and {values[-1]:g} at the end")
    falls = np.flatnonzero(~(np.diff(values) >= 0))
    if falls.size:
        raise ValueError(f"{wanted}; got {values[falls[0] + 1]:g} after {values[falls[0]]:g}")
    return jnp.asarray(values, jnp.float32)
