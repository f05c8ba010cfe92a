"""The records of a table: its columns as they are in the file, with their kinds; nothing is fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

# Kinds that a model sees, in the order of their groups.
MODELED = ("continuous", "positive", "count", "binary", "category", "ordinal")
NUMBERS = ("continuous", "positive", "count")
# "name" names the rows; "keep" is carried along and written again; "drop" is not read.
KINDS = (*MODELED, "name", "keep", "drop")


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Attributes:
      name: Name in the header.
      values: `[N]`: numbers or booleans with the file's type, or int32 places in `texts`. Missing cells hold any value.
      observed: bool `[N]`, or None if no cell is missing.
      kind: One of `KINDS`.
      texts: The different texts of a column of texts, or None for numbers.
      order: Texts of an ordinal column from the lowest to the highest, or None.
    """

    name: str
    values: np.ndarray
    observed: np.ndarray | None
    kind: str
    texts: Sequence[str] | None = None
    order: tuple[str, ...] | None = None

    @property
    def share_missing(self) -> float:
        """Share of cells that are missing."""
        return 0.0 if self.observed is None else 1.0 - float(np.mean(self.observed))

    @property
    def dtype(self) -> str:
        """Type in the file: `text`, `bool`, or numpy's name of the numbers' type."""
        return self.values.dtype.name if self.texts is None else "text"

    def rows(self, rows: Any) -> Column:
        """The column of some rows, given by indices, a mask or a slice."""
        observed = None if self.observed is None else self.observed[rows]
        return dataclasses.replace(self, values=self.values[rows], observed=observed)

    def seen(self) -> np.ndarray:
        """Values of the cells that are not missing."""
        return self.values if self.observed is None else self.values[self.observed]

    def cells(self) -> list[Any]:
        """Cells as Python numbers and texts, with None for missing ones."""
        shown = self.values.tolist() if self.texts is None else [self.texts[i] for i in self.values.tolist()]
        return shown if self.observed is None else [x if o else None for x, o in zip(shown, self.observed, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length.

    Attributes:
      name: Name of the file.
      columns: Columns in the order of the file, without dropped ones.
      note: How the file was read and what was left out, in a sentence; empty if there is nothing to say.
    """

    name: str
    columns: tuple[Column, ...]
    note: str = ""

    @property
    def num_rows(self) -> int:
        return len(self.columns[0].values)

    @property
    def modeled(self) -> tuple[Column, ...]:
        """Columns that a model sees."""
        return tuple(column for column in self.columns if column.kind in MODELED)

    @property
    def named_by(self) -> Column | None:
        """Column that names the rows, or None."""
        return next((column for column in self.columns if column.kind == "name"), None)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name!r}, only {', '.join(c.name for c in self.columns)}")

    def rows(self, rows: Any) -> Table:
        """Table of some rows, given by indices, a mask or a slice. Without a column of names, rows are counted anew."""
        return dataclasses.replace(self, columns=tuple(column.rows(rows) for column in self.columns))

    def row_names(self, rows: Any = slice(None)) -> list[str]:
        """Names of rows: cells of the column of kind `name`; the row's index, from 0, if there is no cell or column."""
        indices = np.arange(self.num_rows)[rows].tolist()
        if self.named_by is None:
            return list(map(str, indices))
        cells = self.named_by.rows(rows).cells()
        return [str(index) if cell is None else str(cell) for index, cell in zip(indices, cells, strict=True)]


def remedy(name: str, kind: str) -> str:
    """Words that give a column a kind, in Python and on the command line."""
    return f"columns={{{name!r}: {kind!r}}} (--columns {name}={kind})"
