"""Places of cells among the levels of a column, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_jax.data.tables._table import Column


def codes_of(where: str, column: Column, levels: Sequence[Any], dtype: str) -> np.ndarray:
    """Places of the cells among the levels, int32 `[N]`; -1 if a cell holds none of them, or is missing.

    Raises:
      ValueError: If the column holds texts and the levels are numbers, or the reverse.
    """
    if column.observed is not None and not column.observed.any():
        return np.full(len(column.values), -1, np.int32)
    if (column.texts is None) != (dtype != "text"):
        wanted, given = ("texts", "numbers") if dtype == "text" else ("numbers", "texts")
        raise ValueError(f"{where}: column {column.name!r} must hold {wanted}, as in training, got {given}")
    if column.texts is not None:
        place = {level: i for i, level in enumerate(levels)}
        return np.array([place.get(text, -1) for text in column.texts], np.int32)[column.values]
    numbers, values = np.asarray(levels), column.values
    if "f" in (numbers.dtype.kind, values.dtype.kind):  # else whole numbers, which float64 does not hold from 2^53 on
        numbers, values = numbers.astype(np.float64), values.astype(np.float64)
    order = np.argsort(numbers)
    found = np.minimum(np.searchsorted(numbers[order], values), len(numbers) - 1)
    codes = order[found]
    return np.where(numbers[codes] == values, codes, -1).astype(np.int32)


def from_codes(codes: np.ndarray, levels: Sequence[Any], dtype: str) -> np.ndarray | list[str]:
    """Levels at these places: a list of texts, or an array of the file's type."""
    codes = np.clip(codes, 0, len(levels) - 1)
    return [levels[code] for code in codes.tolist()] if dtype == "text" else np.asarray(levels, dtype)[codes]
