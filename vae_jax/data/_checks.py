"""Checks of numbers that callers give; each error names the argument, what was given and what would be right."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_PIXELS = 178_956_970  # of one picture; as many as Pillow opens, half a gigabyte in color


def whole(name: str, value: Any) -> int:
    """The value as an int of any size.

    Raises:
      TypeError: If it is no whole number.
      ValueError: If it is NaN or infinite.
    """
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        raise ValueError(f"{name} must be a whole number, got {value}")
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {value}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """The value as an int from least to most.

    Raises:
      TypeError: If it is no whole number.
      ValueError: If it is NaN, infinite, or not between least and most.
    """
    number = whole(name, value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    if number > most:
        raise ValueError(f"{name} must be at most {most:,}, got {number:,}")
    return number


def size_of(name: str, value: Any) -> tuple[int, int]:
    """A height and a width.

    Raises:
      TypeError: If they are not whole numbers.
      ValueError: If they are not two, are below 1 or make more pixels than a picture may have.
    """
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers, height and width, got {value!r}")
    height, width = (whole_number(name, side, 1, MOST_PIXELS) for side in value)
    if height * width > MOST_PIXELS:
        raise ValueError(f"{name} must make at most {MOST_PIXELS:,} pixels, got {height} x {width}")
    return height, width


def require_memory(where: str, needed: int, remedy: str) -> None:
    """Refuses what is larger than the memory that is free, before any of it is taken.

    Raises:
      ValueError: If `needed` bytes are more than the machine has left; `where` names what they are for.
    """
    free = _free_memory()
    if free is not None and needed > free:
        raise ValueError(f"{where} takes {needed:,} bytes, but only {free:,} bytes of memory are free: {remedy}.")


def _free_memory() -> int | None:
    """Bytes of memory that are free on this machine; None if it does not say."""
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
