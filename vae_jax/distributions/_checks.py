"""Checks of the numbers and shapes of arguments; each error is one line that names the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Largest size of a layer, code or image: a larger number is taken for a typo, refused before memory is allocated.
LARGEST_SIZE = 2**24
LARGEST_COUNT = 2**31 - 1  # steps and epochs are counted in int32


def check_count(name: str, value: Any, least: int = 1, most: int = LARGEST_COUNT) -> None:
    """Checks that a value is a whole number between least and most.

    Raises:
      TypeError: if the value is not a whole number (a bool, a float, a string).
      ValueError: if the value is out of range.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        value = operator.index(value)
    except (TypeError, jax.errors.ConcretizationTypeError):
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def check_counts(most: int = LARGEST_SIZE, **values: Any) -> None:
    """Checks that sizes, passed as keyword arguments, are whole numbers from 1 to most."""
    for name, value in values.items():
        check_count(name, value, 1, most)


def check_sizes(name: str, values: Any, least: int = 1, most: int = LARGEST_SIZE) -> None:
    """Checks that a value is a sequence, possibly empty, of whole numbers between least and most.

    Raises:
      TypeError: if the value is not a sequence, or an entry is not a whole number.
      ValueError: if an entry is out of range.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {values!r}")
    for i, value in enumerate(values):
        check_count(f"{name}[{i}]", value, least, most)


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> None:
    """Checks that a value is one finite number between low and high; only the shape of a traced value is checked.

    Args:
      name: name of the argument, for the message.
      value: a number, or an array without axes.
      low: smallest allowed value; with `above`, the value must be larger than low.
      high: largest allowed value.
      above: whether low itself is refused.

    Raises:
      TypeError: if the value is not a number (a bool, a string, None).
      ValueError: if the value is an array, not finite or out of range.
    """
    if isinstance(value, jax.core.Tracer):
        if np.ndim(value):
            raise ValueError(f"{name} must be one number, got an array of shape {np.shape(value)}")
        return
    array = np.asarray(value)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if array.ndim:
        raise ValueError(f"{name} must be one number, got an array of shape {array.shape}")
    number = float(array)
    if math.isfinite(number) and low <= number <= high and not (above and number == low):
        return
    least = f"above {low:g}" if above else f"at least {low:g}"
    if high < math.inf:
        wanted = f"{least} and at most {high:g}" if above else f"between {low:g} and {high:g}"
    else:
        wanted = "a finite number" if low == -math.inf else least
    finite = " and finite" if math.isinf(number) and wanted != "a finite number" else ""
    raise ValueError(f"{name} must be {wanted}{finite}, got {value}")


def wrong_shape(name: str, expected: tuple[int, ...], given: tuple[int, ...]) -> str:
    """Error message for an array without the shape of one example, with the likely reason."""
    if len(given) == len(expected) + 1 and given[1:] == expected:
        return f"{name}: expected one example of shape {expected}, got a batch of shape {given}; map with jax.vmap"
    what = "vector" if len(expected) == 1 else "example"
    message = f"{name}: expected one {what} of shape {expected}, got {given}"
    if len(given) == len(expected) == 3 and (given[1], given[2], given[0]) == expected:
        return f"{message}; channels come last"
    return message
