"""Description of a table's columns for the terminal."""

from __future__ import annotations

import numpy as np

from vae_jax.data.tables._table import MODELED, NUMBERS, Column, Table
from vae_jax.text import printable

_SHOWN = 5


def describe_table(table: Table) -> str:
    """Text that lists the columns of a table: name, kind, range or levels, and share of missing cells.

    The texts come from the file and are escaped, so that they are safe to print.
    """
    rows = [("column", "kind", "values", "missing"), *(_row(column) for column in table.columns)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    head = f"{printable(table.name)}: {table.num_rows:,} rows" + (f" ({printable(table.note)})" if table.note else "")
    return "\n".join([head, *(line.rstrip() for line in lines)])


def _row(column: Column) -> tuple[str, str, str, str]:
    missing = f"{100 * column.share_missing:.1f} %" if column.observed is not None else ""
    return printable(column.name), column.kind, _values(column), missing


def _values(column: Column) -> str:
    seen = column.seen()
    if not len(seen):
        return ""
    if column.kind in NUMBERS and column.texts is None:
        return f"{_short(seen.min())} to {_short(seen.max())}"
    if column.kind not in MODELED:
        return ""
    levels = np.unique(seen).tolist()
    if column.order is not None:
        shown = list(column.order)
    else:
        shown = sorted(column.texts[i] for i in levels) if column.texts is not None else list(map(_short, levels))
    texts = [printable(text if len(text) <= 20 else f"{text[:19]}\u2026") for text in shown[:_SHOWN]]
    more = f", ... ({len(shown):,} levels)" if len(shown) > _SHOWN else ""
    return (" < " if column.kind == "ordinal" else ", ").join(texts) + more


def _short(number: float) -> str:
    return f"{number:,}" if isinstance(number, int | np.integer) else f"{number:.4g}"
