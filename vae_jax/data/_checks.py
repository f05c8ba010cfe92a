"""Checks of numbers that callers give; each error names the argument, the given value and the accepted values."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_PIXELS = 178_956_970  # largest picture that Pillow opens: half a gigabyte in color


def as_integer(name: str, value: Any) -> int:
    """Returns the value as an int of any size.

    Raises:
      TypeError: If the value is not a whole number.
      ValueError: If the value is NaN or infinite.
    """
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        raise ValueError(f"{name} must be a whole number, got {value}")
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {value}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def integer_between(name: str, value: Any, least: int, most: int) -> int:
    """Returns the value as an int from least to most.

    Raises:
      TypeError: If the value is not a whole number.
      ValueError: If the value is NaN, infinite, or not between least and most.
    """
    number = as_integer(name, value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    if number > most:
        raise ValueError(f"{name} must be at most {most:,}, got {number:,}")
    return number


def height_and_width(name: str, value: Any) -> tuple[int, int]:
    """Returns a height and a width as two ints.

    Raises:
      TypeError: If a number is not whole.
      ValueError: If there are not two numbers, one is below 1, or their product is above MOST_PIXELS.
    """
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers, height and width, got {value!r}")
    height, width = (integer_between(name, side, 1, MOST_PIXELS) for side in value)
    if height * width > MOST_PIXELS:
        raise ValueError(f"{name} must make at most {MOST_PIXELS:,} pixels, got {height} x {width}")
    return height, width


def require_memory(where: str, needed: int, remedy: str) -> None:
    """Raises before an allocation that is larger than the free memory.

    Raises:
      ValueError: If `needed` bytes are more than the machine has free; `where` names what the memory is for.
    """
    free = _free_memory()
    if free is not None and needed > free:
        raise ValueError(f"{where} takes {needed:,} bytes, but only {free:,} bytes of memory are free: {remedy}.")


def _free_memory() -> int | None:
    """Bytes of free memory on this machine, or None if they cannot be found out."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
