"""Writing of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vae_jax.data.tables._table import Table
from vae_jax.row_files import row_file

_BLOCK = 10_000


def write_table(path: str | Path, columns: Table | Mapping[str, np.ndarray | Sequence[str | None]]) -> None:
    """Writes columns to a `.csv` or `.parquet` file, completely or not at all.

    Args:
      path: The file, which is replaced if it exists.
      columns: A table, or columns of equal length by name: arrays of numbers, or lists of texts. None, NaN and masked
        entries are missing cells: empty in CSV, null in Parquet.

    Raises:
      ValueError: If the suffix is another, there is no column or row, or columns differ in length.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"path must end in .csv or .parquet, got {path}")
    cells = columns_of(columns) if isinstance(columns, Table) else dict(columns)
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) != 1 or not max(lengths.values()):
        raise ValueError(f"columns must be columns of one length, at least 1, got {lengths}")
    for name, values in cells.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            cells[name] = np.ma.masked_invalid(values)
    with row_file(path) as file:
        for start in range(0, max(lengths.values()), _BLOCK):
            file.add({name: values[start : start + _BLOCK] for name, values in cells.items()})


def columns_of(table: Table) -> dict[str, np.ndarray | Sequence[str | None]]:
    """Columns of a table as `write_table` takes them: lists of texts, and masked arrays of numbers."""
    found: dict[str, np.ndarray | Sequence[str | None]] = {}
    for column in table.columns:
        if column.texts is not None:
            found[column.name] = column.cells()
        else:
            missing = np.ma.nomask if column.observed is None else ~column.observed
            found[column.name] = np.ma.masked_array(column.values, missing)
    return found
