"""Imputation of a table's missing cells with the model of a run, and the file with the cells filled in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.atomic import replacing
from vae_jax.data import Encoding, Table, write_table
from vae_jax.data.tables._csv import format_of
from vae_jax.data.tables._write import columns_of
from vae_jax.evaluation import impute_examples
from vae_jax.models import Example
from vae_jax.runs.loading import Loaded
from vae_jax.text import printable

DRAW = "draw"  # column that counts the draws
TEXTS = (".csv", ".tsv")
FEW = 10  # effective importance samples of a row, of which the message tells


class Imputation(NamedTuple):
    """Cells for the missing ones of a table."""

    rows: np.ndarray  # indices of the rows with missing cells
    missing: Mapping[str, np.ndarray]  # of each column, bool [number of these rows]
    values: Sequence[Mapping[str, Any]]  # of each column, cells of these rows; once, or once for each draw
    effective: np.ndarray  # effective number of importance samples in each of these rows


def impute_table(loaded: Loaded, table: Table, samples: int, draws: int, random_seed: int) -> Imputation:
    """Imputes the missing cells of a table: by mean or most probable category, or with draws if there are any.

    Raises:
      ValueError: a cell holds a category that the training rows did not have, or the model cannot explain a row.
    """
    encoding: Encoding = loaded.problem.encoding
    values, observed = encoding.encode(table)
    rows = np.flatnonzero(~np.all(np.concatenate([*observed.values()], axis=1), axis=1))
    some = Example(*jax.tree.map(lambda leaf: leaf[rows], (values, observed)))
    missing = {name: ~seen for name, seen in encoding.by_column(some.context).items()}
    if not len(rows):
        return Imputation(rows, missing, [{}] * max(draws, 1), np.zeros(0))
    key = jax.random.key(random_seed)
    imputed = impute_examples(loaded.model, loaded.params, key, some, samples, draws)
    effective = np.asarray(imputed.effective_sample_size)
    if not np.isfinite(effective).all():
        name = printable(table.row_names(rows)[int(np.argmin(np.isfinite(effective)))])
        raise ValueError(f"{table.name}: row {name} is so unlikely under the model that nothing can be imputed in it")
    numbers: Any = jax.tree.map(np.asarray, imputed.draws if draws else imputed.value)
    each = [jax.tree.map(lambda leaf, i=i: leaf[:, i], numbers) for i in range(draws)] or [numbers]
    return Imputation(rows, missing, [encoding.decode(one) for one in each], effective)


def write_imputed(source: Path, table: Table, imputation: Imputation, output: Path, draws: int) -> None:
    """Writes the table with its missing cells filled in; all other cells are those of the source, to the letter.

    Args:
      source: file of the table.
      output: `.csv` or `.tsv` in the separator, decimal mark and encoding of a source of text; or `.parquet`.
      draws: number of draws; if there are any, a first column `draw` counts them, and the table is repeated.

    Raises:
      ValueError: the table has a column `draw` already.
    """
    if draws and any(column.name == DRAW for column in table.columns):
        raise ValueError(f"--draws adds a column {DRAW!r}, which {table.name} has already: rename it")
    if source.suffix.lower() in TEXTS and output.suffix.lower() in TEXTS:
        with replacing(output) as file:
            _write_text(source, imputation, file, draws, table.num_rows)
        return
    parts = [_filled(table, imputation, values) for values in imputation.values]
    columns = {name: _joined([part[name] for part in parts]) for name in parts[0]}
    counted = {DRAW: np.repeat(np.arange(1, draws + 1), table.num_rows)} if draws else {}
    write_table(output, counted | columns)


def _write_text(source: Path, imputation: Imputation, file: Any, draws: int, count: int) -> None:
    how = format_of(str(source), "utf-8")
    sign = lambda cell: str(cell).replace(".", how.decimal) if isinstance(cell, np.floating) else str(cell)
    place_of = {int(row): place for place, row in enumerate(imputation.rows)}
    text = io.TextIOWrapper(file, how.encoding, newline="")
    writer = csv.writer(text, delimiter=how.separator, lineterminator="\n")
    writer.writerow([DRAW, *how.header] if draws else how.header)
    for draw, values in enumerate(imputation.values, start=1):
        found = -1
        for found, record in enumerate(_records(source, how)):
            if (place := place_of.get(found)) is not None:
                record = [
                    sign(values[name][place])
                    if name in imputation.missing and imputation.missing[name][place]
                    else cell
                    for name, cell in zip(how.header, record, strict=True)
                ]
            writer.writerow([draw, *record] if draws else record)
        if found + 1 != count:
            raise ValueError(
                f"{source}: expected {count} rows, got {found + 1} when it was read again: was it changed?"
            )
    text.flush()
    text.detach()


def _records(source: Path, how: Any) -> Iterator[list[str]]:
    """Rows of a file of text as they are written, without the header and, as in reading, without empty lines."""
    encoding = "utf-8-sig" if how.encoding.lower() in ("utf-8", "utf8") else how.encoding
    with open(source, encoding=encoding, newline="") as lines:
        records = csv.reader(lines, delimiter=how.separator)
        next(record for record in records if record)
        for record in records:
            if record or len(how.header) == 1:
                yield record or [""]


def _filled(table: Table, imputation: Imputation, values: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = dict(columns_of(table))
    for name, missing in imputation.missing.items():
        if missing.any():
            rows, cells = imputation.rows[missing], np.asarray(values[name])[missing]
            if isinstance(columns[name], np.ndarray):
                whole = np.ma.getdata(columns[name]).copy()
                whole[rows] = cells
                columns[name] = whole
            else:
                texts = dict(zip(rows.tolist(), cells.tolist(), strict=True))
                columns[name] = [texts.get(i, cell) for i, cell in enumerate(columns[name])]
    return columns


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.ma.concatenate(parts)
    return [cell for part in parts for cell in part]


def effective_note(imputation: Imputation, samples: int) -> str:
    """Line about the rows that were imputed, and their effective numbers of importance samples."""
    count = len(imputation.rows)
    if not count:
        return "no cell is missing: nothing was imputed"
    cells = sum(int(missing.sum()) for missing in imputation.missing.values())
    note = (
        f"imputed {cells:,} cells in {count:,} rows; effective sample size: median "
        f"{np.median(imputation.effective):.1f} of {samples} importance samples"
    )
    if few := int(np.sum(imputation.effective < FEW)):
        note += f", below {FEW} in {few:,} rows, whose cells are uncertain: more --samples help"
    return note
