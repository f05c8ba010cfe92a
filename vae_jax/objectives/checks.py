"""What is asked of the numbers that an objective is made of."""

from __future__ import annotations

import operator

import jax
import numpy as np
from jax.typing import ArrayLike


def check_at_least_1(name: str, value: int) -> None:
    try:
        operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_between(name: str, value: ArrayLike, low: float, high: float = float("inf")) -> None:
    """Of one number; one that is traced has no value yet, and passes."""
    if np.ndim(value):
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(value)}")
    if isinstance(value, jax.core.Tracer) or low <= float(np.asarray(value)) <= high:
        return
    wanted = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
    raise ValueError(f"{name} must be {wanted}, got {value}")
