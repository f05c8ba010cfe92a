"""Encoding of a table as the arrays that a model sees, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.tables._codes import codes_of
from vae_jax.data.tables._column_encoding import ColumnEncoding, column_from_json
from vae_jax.data.tables._kinds import check_values
from vae_jax.data.tables._table import MODELED, NUMBERS, Column, Table
from vae_jax.text import printable

_BLOCK = 2**14  # rows that are encoded at once: their values stay in the processor's cache


class Cell(NamedTuple):
    """A cell of a table: name of its row and of its column, and its value."""

    row: str
    column: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Encoding:
    """Encoding of the columns of a table as arrays by group, fitted on training rows by `fit_encoding`.

    An encoded row is a dict by group, not by column, so that a model computes a group at once: `continuous`
    (standardized), `positive` (divided by the geometric mean), `count` and `binary` (0 and 1), each float32 `[n]`;
    `category_K` and `ordinal_K` (places among K levels), each int32 `[n]`. Groups without columns are absent.

    Attributes:
      columns: Encodings of the columns in the order of the file.
      named_by: Name of the column that names the rows, or None.
    """

    columns: tuple[ColumnEncoding, ...]
    named_by: str | None = None

    @property
    def groups(self) -> dict[str, tuple[ColumnEncoding, ...]]:
        """Columns of each group."""
        rank = lambda column: (MODELED.index(column.kind), len(column.levels) if column.group != "binary" else 0)
        names = list(dict.fromkeys(column.group for column in sorted(self.columns, key=rank)))
        return {name: tuple(column for column in self.columns if column.group == name) for name in names}

    @property
    def shapes(self) -> dict[str, tuple[int]]:
        """Shape of each group in an encoded row."""
        return {name: (len(columns),) for name, columns in self.groups.items()}

    @property
    def statistics(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of each group in the training rows, for `models.table_vae`.

        They are those of the encoded numbers (for continuous ones 0 and 1), or of their logarithms (positive), each
        `[n]`; for categories and ordinals, the shares of the levels and ones, `[n, K]`.
        """
        return {name: _statistics(columns) for name, columns in self.groups.items()}

    def encode(
        self, table: Table, rows: Any = None, *, unseen_as_missing: bool = False
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Encodes a table.

        Args:
          table: A table with these columns, in any order, such as `load_table_like` loads.
          rows: Rows to encode: indices, a mask or a slice. Default: all.
          unseen_as_missing: Makes cells missing that hold a category which the training rows do not have; `unseen`
            lists them. Default: they are an error.

        Returns:
          values `{group: [N, n]}` and booleans observed `{group: [N, n]}`. Missing cells hold 0, or 1 if positive.

        Raises:
          ValueError: If the table lacks a column, or a cell holds a category that the training rows do not have, a text
            instead of a number or the reverse, or a number that its kind does not allow; the message names row, column
            and value.
        """
        indices = None if rows is None else np.arange(table.num_rows)[rows]
        count = table.num_rows if indices is None else len(indices)
        values: dict[str, np.ndarray] = {}
        observed: dict[str, np.ndarray] = {}
        for group, columns in self.groups.items():
            empty = 1 if group == "positive" else 0
            values[group] = np.full((count, len(columns)), empty, columns[0].array_dtype)
            observed[group] = np.ones((count, len(columns)), bool)
            found = [self._column(table, column) for column in columns]
            for start in range(0, count, _BLOCK):
                block = slice(start, min(start + _BLOCK, count))
                chosen = block if indices is None else indices[block]
                for place, (column, (raw, codes)) in enumerate(zip(columns, found, strict=True)):
                    some = raw.rows(chosen)
                    numbers = some.values if codes is None else codes[chosen]
                    seen = np.ones(len(numbers), bool) if some.observed is None else some.observed
                    if codes is None:
                        check_values(table.name, some, partial(table.row_names, chosen))
                    elif np.any(unseen := seen & (numbers < 0)):
                        if not unseen_as_missing:
                            raise ValueError(_unseen_message(table, column, raw, chosen, int(np.argmax(unseen))))
                        seen = seen & ~unseen
                    observed[group][block, place] = seen
                    np.copyto(values[group][block, place], column.encoded(numbers), where=seen, casting="unsafe")
        return values, observed

    def unseen(self, table: Table) -> list[Cell]:
        """Cells that hold a category which the training rows do not have."""
        cells = []
        for column in self.columns:
            raw, codes = self._column(table, column)
            if codes is not None:
                wrong = codes < 0 if raw.observed is None else (codes < 0) & raw.observed
                rows = np.flatnonzero(wrong)
                names = table.row_names(rows)
                cells += [
                    Cell(*each) for each in zip(names, [column.name] * len(rows), raw.rows(rows).cells(), strict=True)
                ]
        return cells

    def decode(self, values: Mapping[str, Any]) -> dict[str, np.ndarray | list[str]]:
        """Decodes rows `{group: [N, n]}` to columns of the file's types; `category_K` may also be shares `[N, n, K]`.

        Columns of whole numbers are rounded to whole numbers within the limits of their type, such as 0 to 255 for
        uint8; other numbers have the seven digits of float32.
        """
        decoded = self.by_column({group: np.asarray(values[group]) for group in self.groups})
        return {column.name: column.decoded(decoded[column.name]) for column in self.columns}

    def by_column(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Splits arrays `{group: [N, n, ...]}` into arrays `{column: [N, ...]}`, in the file's order.

        Arrays of one row, `{group: [n]}`, become a number for each column: `log_prob_terms` of a decoder's distribution
        becomes the log-density of each column.
        """
        found = {
            column.name: arrays[group][place] if np.ndim(arrays[group]) == 1 else arrays[group][:, place]
            for group, columns in self.groups.items()
            for place, column in enumerate(columns)
        }
        return {column.name: found[column.name] for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        """The encoding as a JSON object."""
        return {"columns": [dataclasses.asdict(column) for column in self.columns], "named_by": self.named_by}

    @classmethod
    def from_json(cls, stored: Any) -> Encoding:
        """The encoding from a JSON object, which may come from anyone.

        Raises:
          ValueError: If it is not one that `to_json` can have made.
        """
        named_by = stored.get("named_by") if isinstance(stored, dict) else None
        columns = stored.get("columns") if isinstance(stored, dict) else None
        if not isinstance(columns, list) or not columns or not (named_by is None or isinstance(named_by, str)):
            raise ValueError("the encoding of the table must be an object with columns and named_by")
        found = tuple(map(column_from_json, columns))
        if len({column.name for column in found} | {named_by}) != len(found) + 1:
            raise ValueError("the encoding of the table must have columns of different names")
        return cls(found, named_by)

    def _column(self, table: Table, column: ColumnEncoding) -> tuple[Column, np.ndarray | None]:
        """The table's column, and its places among the levels, -1 for unseen ones; None for numbers."""
        try:
            raw = dataclasses.replace(table[column.name], kind=column.kind)
        except KeyError as error:
            raise ValueError(f"table: {error.args[0]}") from None
        return raw, None if column.kind in NUMBERS else codes_of(table.name, raw, column.levels, column.dtype)


def _unseen_message(table: Table, column: ColumnEncoding, raw: Column, chosen: Any, place: int) -> str:
    value = raw.rows(chosen).cells()[place]
    levels = ", ".join(printable(level) for level in column.levels[:8]) + (", ..." if len(column.levels) > 8 else "")
    return (
        f"{table.name}: row {printable(table.row_names(chosen)[place])}, column {column.name!r}: {printable(value)!r} "
        f"is not among the categories of the training rows ({levels}): leave the cell empty to have it imputed"
    )


def _statistics(columns: Sequence[ColumnEncoding]) -> tuple[np.ndarray, np.ndarray]:
    kind = columns[0].kind
    if kind in ("category", "ordinal"):
        shares = np.array([column.shares for column in columns], np.float32)
        return shares, np.ones_like(shares)
    if kind == "binary":
        mean = np.array([column.shares[1] for column in columns], np.float32)
        return mean, np.sqrt(mean * (1 - mean))
    location = np.array([column.location if kind == "count" else 0.0 for column in columns], np.float32)
    scale = np.array([1.0 if kind == "continuous" else column.scale for column in columns], np.float32)
    return location, scale
