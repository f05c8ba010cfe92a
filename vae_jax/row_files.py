"""Files of rows that are written batch by batch: `.csv`, `.npz`, `.parquet`.

A batch of rows has named columns of equal length: text, numbers `[n]`, or vectors `[n, D]`. None among texts, and
masked entries of numbers, are missing cells: empty in CSV, null in Parquet.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from vae_jax.atomic import replacing

Rows = Mapping[str, "np.ndarray | Sequence[str | None]"]
_ROW_GROUP = 10_000  # rows of a parquet file that are buffered before they are written


class Writer(Protocol):
    """Writer of rows to an open file."""

    def add(self, rows: Rows) -> None: ...
    def close(self) -> None: ...


class _Csv:
    """Writer of CSV. A vector has a column for each element: mean_0, ... for "mean", code_0, ... for "codes"."""

    def __init__(self, file: BinaryIO):
        self._text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        self._lines = csv.writer(self._text, lineterminator="\n")
        self._begun = False

    def add(self, rows: Rows) -> None:
        columns: dict[str, Sequence[Any]] = {}
        for name, values in rows.items():
            if isinstance(values, np.ndarray) and values.ndim == 2:
                one = name.removesuffix("s")
                columns |= {f"{one}_{i}": _shortest(values[:, i]) for i in range(values.shape[1])}
            else:
                columns[name] = _shortest(values) if isinstance(values, np.ndarray) else values
        if not self._begun:
            self._lines.writerow(columns)
            self._begun = True
        self._lines.writerows(zip(*columns.values(), strict=True))

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


def _shortest(values: np.ndarray) -> list[Any]:
    """Shortest decimal texts from which the numbers can be recovered exactly, in their precision."""
    if isinstance(values, np.ma.MaskedArray):  # its own text of a masked entry would be --
        return [
            "" if masked else str(value) for value, masked in zip(values.data, np.ma.getmaskarray(values), strict=True)
        ]
    return list(map(str, values))


class _Npz:
    """Writer of an array for each column. All rows are held in memory until the end."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._parts: dict[str, list[Any]] = {}

    def add(self, rows: Rows) -> None:
        for name, values in rows.items():
            self._parts.setdefault(name, []).append(values)

    def close(self) -> None:
        columns: dict[str, Any] = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        np.savez(self._file, **columns)


class _Parquet:
    """Writer of Parquet, one row group at a time; vectors are lists of fixed length."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._writer: Any = None
        self._waiting: list[Any] = []

    def add(self, rows: Rows) -> None:
        import pyarrow

        self._waiting.append(pyarrow.table({name: _arrow(values) for name, values in rows.items()}))
        if sum(table.num_rows for table in self._waiting) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.concat_tables(self._waiting).combine_chunks()
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)
        self._waiting = []

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._writer.close()


def _arrow(values: np.ndarray | Sequence[str | None]) -> Any:
    import pyarrow

    if not isinstance(values, np.ndarray):
        valid = lambda text: None if text is None else text.encode("utf-8", "backslashreplace").decode()
        return pyarrow.array(list(map(valid, values)), pyarrow.string())
    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), values.shape[1])


_WRITERS: dict[str, Callable[[BinaryIO], Writer]] = {".csv": _Csv, ".npz": _Npz, ".parquet": _Parquet}


def check_row_file(path: Path, argument: str) -> None:
    """Raises ValueError, naming the argument, if rows cannot be written to the path or the file exists."""
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{argument} must end in {', '.join(_WRITERS)}, got {path}")
    if path.exists():
        raise ValueError(f"{argument} {path} exists already: give another path, or remove it first")


@contextlib.contextmanager
def row_file(path: Path) -> Iterator[Writer]:
    """Opens a file of rows in the format of its suffix; the complete file appears when the context ends.

    Args:
      path: Path that passes `check_row_file`, in an existing folder. At least one row must be added, and all rows must
        have the same columns.
    """
    with replacing(path) as file:
        writer = _WRITERS[path.suffix.lower()](file)
        yield writer
        writer.close()
