"""Columns that grow block by block, while a file is read."""

from __future__ import annotations

import numpy as np

from vae_jax.data.tables._table import Column


class GrowingColumn:
    """One column, from its parts in order; memory holds its cells once.

    Args:
      first: The first part.
      capacity: An upper bound of the number of cells. Pages of an array that nothing was written to take no memory.
    """

    def __init__(self, first: Column, capacity: int):
        self._first = first
        self._values = np.empty(capacity, first.values.dtype)
        self._observed = np.empty(capacity, bool)
        self._texts: dict[str, int] = {}
        self._length = 0
        self.add(first)

    def add(self, part: Column) -> None:
        """Adds a part with the same type."""
        start, self._length = self._length, self._length + len(part.values)
        block = slice(start, self._length)
        if part.texts is None:
            self._values[block] = part.values
        else:
            places = [self._texts.setdefault(text, len(self._texts)) for text in part.texts]
            self._values[block] = np.array(places, np.int32)[part.values]
        self._observed[block] = True if part.observed is None else part.observed

    def finished(self) -> Column:
        """The whole column."""
        self._values.resize(self._length, refcheck=False)
        self._observed.resize(self._length, refcheck=False)
        observed = None if self._observed.all() else self._observed
        texts = None if self._first.texts is None else tuple(self._texts)
        return Column(self._first.name, self._values, observed, self._first.kind, texts)
