"""Checks of the numbers that an objective is made of."""

from __future__ import annotations

import math

from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count, check_number


def check_at_least_1(name: str, value: int) -> None:
    check_count(name, value)


def check_between(name: str, value: ArrayLike, low: float, high: float = math.inf) -> None:
    """Refuses a number that is not finite or not between low and high; a traced one has no value yet, and passes."""
    check_number(name, value, low, high)
