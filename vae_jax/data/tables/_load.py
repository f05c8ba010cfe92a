"""Tables from files and from arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.data.tables import _csv
from vae_jax.data.tables._arrow import column_of
from vae_jax.data.tables._blocks import GrowingColumn
from vae_jax.data.tables._kinds import check_names, check_values, given_kind, with_inferred_kind
from vae_jax.data.tables._table import MODELED, Column, Table
from vae_jax.text import printable

if TYPE_CHECKING:
    from vae_jax.data.tables._encoding import Encoding

Columns = Mapping[str, str]
Kinds = dict[str, tuple[str, tuple[str, ...] | None]]  # kind, and order of the levels
_NONE: Columns = {}
NO_ROWS = "{}: expected at least one row, got none"


def load_table(path: str | Path, columns: Columns = _NONE, *, encoding: str = "utf-8") -> Table:
    """Loads a table from a `.csv`, `.tsv` or `.parquet` file; nothing is fitted to it.

    A CSV file begins with a header. Its separator (comma, semicolon, tab or vertical bar), its decimal mark, a byte
    order mark and UTF-16 are recognized, and the table's note names those that are not usual. Cells are missing if they
    are empty or one of NA, N/A, n/a, #N/A, <NA>, NaN, nan, null, NULL, None, ?; in Parquet, if they are null, NaN or an
    empty text. Kinds that are not given are inferred, from all rows:

    * texts: `binary` if there are two different ones, `category` if there are up to 1,000;
    * numbers with two different values: `binary`;
    * whole numbers from 0 to 2^24 with a variance of at least half their mean: `count`;
    * numbers above 0 whose logarithms are less skewed than they are: `positive`;
    * other numbers: `continuous`;
    * the first column, if it has no missing cell and all its texts differ, or if it has no name and numbers the rows:
      `name`.

    Args:
      path: The file.
      columns: Kinds of columns by name, if others than the inferred ones are wanted: `continuous`, `positive`, `count`,
        `binary`, `category`, `ordinal` (numbers, by size) or `ordinal:low<middle<high` (texts, in this order), `name`
        (names of the rows), `keep` (not modeled, but written again) or `drop` (not read).
      encoding: Encoding of a CSV file.

    Returns:
      `Table`.

    Raises:
      ValueError: If there is no such file, or it has no header, no rows, rows of different lengths or two columns of
        the same name; if a column holds dates, infinite numbers, texts among numbers or too many texts; if `columns`
        names an unknown column or kind, or a kind that the values do not allow.
    """
    return _load(path, {name: given_kind(name, kind) for name, kind in columns.items()}, frozenset(), encoding)


def load_table_like(path: str | Path, encoding: Encoding, *, text_encoding: str = "utf-8") -> Table:
    """Loads a table with the columns and kinds of a fitted encoding, to be encoded by it.

    Columns that the encoding does not know have the kind `keep`. Cells of a column may all be missing.

    Args:
      path: The file.
      encoding: A fitted encoding.
      text_encoding: Encoding of a CSV file.

    Raises:
      ValueError: As `load_table`, and if the table lacks a column.
    """
    kinds: Kinds = {}
    for column in encoding.columns:
        ordered = column.kind == "ordinal" and column.dtype == "text"
        kinds[column.name] = column.kind, column.levels if ordered else None
    texts = frozenset(column.name for column in encoding.columns if column.dtype == "text")
    names: Kinds = {} if encoding.named_by is None else {encoding.named_by: ("name", None)}
    return _load(path, kinds | names, texts, text_encoding, others="keep", needed=tuple(kinds))


def table_of(data: Any, columns: Columns = _NONE, *, name: str = "table") -> Table:
    """Makes a table of arrays in memory; kinds are given or inferred as by `load_table`.

    Args:
      data: A dict, or a data frame, of columns of numbers or texts (arrays or lists; NaN, None and masked entries are
        missing), or an array `[N, D]`, whose columns get the names `0`, `1`, ...
      columns: Kinds by name, as for `load_table`.
      name: Name of the table, for messages.

    Raises:
      TypeError: If data are something else.
      ValueError: As `load_table`.
    """
    import pyarrow

    if hasattr(data, "items"):
        found = {str(key): values for key, values in data.items()}
    elif np.ndim(data) == 2:
        found = {str(i): np.ma.asanyarray(data)[:, i] for i in range(np.shape(data)[1])}
    else:
        raise TypeError(f"data must be a dict of columns, a data frame or an array [N, D], got {type(data).__name__}")

    def array(key: str) -> Any:
        values = found[key]
        if not isinstance(values, np.ndarray):
            values = values if isinstance(values, list | tuple) else np.asarray(values)
        if np.ndim(values) != 1:
            raise ValueError(f"data: column {key!r} must have one axis, got shape {np.shape(values)}")
        if isinstance(values, np.ndarray) and values.dtype.kind in "OU":
            values = values.tolist()
        try:
            return pyarrow.chunked_array([pyarrow.array(values, from_pandas=True)])
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
            raise ValueError(f"data: column {key!r} must hold numbers or texts, and not both") from None

    kinds = {key: given_kind(key, kind) for key, kind in columns.items()}
    check_names(f"columns: {name}", columns, tuple(found))
    read = [key for key in found if kinds.get(key, ("",))[0] != "drop"]
    arrays = [(key, array(key)) for key in read]
    if len({len(values) for _, values in arrays}) > 1:
        raise ValueError(f"data must have columns of one length, got {', '.join(f'{k} {len(v)}' for k, v in arrays)}")
    read_columns = (column_of(name, key, values, kinds.get(key, ("",))[0]) for key, values in arrays)
    return _table(name, read_columns, kinds, "")


def _load(
    path: str | Path,
    kinds: Kinds,
    texts: Collection[str],
    encoding: str,
    others: str = "",
    needed: Collection[str] | None = None,
) -> Table:
    path = os.fspath(path)
    if not path.lower().endswith((".csv", ".tsv", ".parquet")):
        raise ValueError(f"path must end in .csv, .tsv or .parquet, got {path}")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: expected a table, got a path with no file there")
    dropped = [name for name, (kind, _) in kinds.items() if kind == "drop"]
    kind = lambda name: kinds.get(name, (others,))[0]

    def check(names: Sequence[str]) -> None:
        if needed is None:
            check_names(f"columns: {path}", kinds, names)
        else:
            check_names(f"the model was trained on another table: {path}", needed, names)

    note = ""
    columns: Iterator[Column]
    if path.lower().endswith(".parquet"):
        file = _parquet(path)
        names = file.schema_arrow.names
        check(names)
        read = [name for name in names if name not in dropped]
        columns = (_parquet_column(path, file, name, kind(name)) for name in read)
    else:
        how = _csv.format_of(path, encoding)
        check(how.header)
        carried = [name for name in how.header if kind(name) in ("name", "keep")]
        found = {name: kind(name) for name in how.header}
        note, columns = how.note, _csv.read_csv(path, how, found, {*texts, *how.texts, *carried}, dropped)
    lost = f"left out: {', '.join(map(printable, dropped))}" if dropped else ""
    return _table(path, columns, kinds, "; ".join(filter(None, (note, lost))))


def _table(where: str, columns: Iterator[Column], kinds: Kinds, note: str) -> Table:
    """Infers and checks the kinds of the columns, each when it is read."""
    found: list[Column] = []
    for column in columns:
        if not len(column.values):
            raise ValueError(NO_ROWS.format(where))
        column = dataclasses.replace(column, order=kinds.get(column.name, ("", None))[1])
        if not column.kind:
            column = with_inferred_kind(where, column, first=not found)
        check_values(where, column)
        found.append(column)
    if not found:
        raise ValueError(NO_ROWS.format(where))
    if not any(column.kind in MODELED for column in found):
        raise ValueError(f"{where}: expected a column to model, got only names and columns that are left out")
    named = [column.name for column in found if column.kind == "name"]
    if len(named) > 1:
        raise ValueError(f"columns: at most one column may be of kind name, got {', '.join(map(repr, named))}")
    return Table(os.path.basename(where), tuple(found), note)


def _parquet(path: str) -> Any:
    """Opens a Parquet file, whose columns are read one at a time."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: cannot be read as Parquet: {printable(str(error).splitlines()[0])}") from None
    names = file.schema_arrow.names
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: expected different names of columns, got {printable(double)!r} twice: rename one")
    return file


def _parquet_column(path: str, file: Any, name: str, kind: str) -> Column:
    """Reads a column block by block, so that Arrow's memory is used again for the next block."""
    import pyarrow

    column, row = None, 0
    try:
        for batch in file.iter_batches(batch_size=2**16, columns=[name]):
            part = column_of(path, name, pyarrow.chunked_array([batch.column(0)]), kind, row)
            if column is None:
                column = GrowingColumn(part, file.metadata.num_rows)
            else:
                column.add(part)
            row += batch.num_rows
    except (pyarrow.ArrowInvalid, OSError) as error:
        reason = printable(str(error).splitlines()[0])
        raise ValueError(f"{path}: column {name!r} cannot be read, the file is damaged: {reason}") from None
    if column is None:
        raise ValueError(NO_ROWS.format(path))
    return column.finished()
