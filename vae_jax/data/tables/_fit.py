"""Fitting of an encoding to the training rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax.data.tables._encoding import ColumnEncoding, Encoding
from vae_jax.data.tables._kinds import MOST_LEVELS, check_values
from vae_jax.data.tables._table import NUMBERS, Column, Table, remedy
from vae_jax.text import printable

_LARGEST_LOG = 85.0  # exp(85) = 8e36 and its inverse are normal numbers of float32


def fit_encoding(table: Table, rows: Any = None) -> Encoding:
    """Fits the encoding of a table: means, standard deviations, geometric means and levels of the training rows.

    Args:
      table: A table.
      rows: Training rows: indices, a mask or a slice. Default: all.

    Raises:
      ValueError: If there are fewer than two training rows; if a column has only missing cells or a single value in
        them, a binary column not exactly two, or a category more than 10,000; if an ordinal column of texts has no
        order; the message names every such column.
    """
    count = table.num_rows if rows is None else len(np.arange(table.num_rows)[rows])
    if count < 2:
        raise ValueError(f"{table.name}: expected at least 2 training rows, got {count}")
    # One column at a time, so that the training rows of the others are not in memory twice.
    of_training = lambda column: column if rows is None else column.rows(rows)
    number = {column.name: _num_values(of_training(column)) for column in table.modeled}
    _check_constant(table.name, number, rows is not None)
    return Encoding(
        tuple(_fitted(table.name, of_training(column)) for column in table.modeled),
        None if table.named_by is None else table.named_by.name,
    )


def _check_constant(where: str, number: Mapping[str, int], split: bool) -> None:
    for fewest, what in ((0, "only missing cells"), (1, "a single value")):
        wrong = [name for name, found in number.items() if found == fewest]
        if wrong:
            names = ", ".join(repr(printable(name)) for name in wrong)
            drop = ", ".join(f"{name!r}: 'drop'" for name in wrong)
            flags = " ".join(f"{printable(name)}=drop" for name in wrong)
            raise ValueError(
                f"{where}: {'column' if len(wrong) == 1 else 'columns'} {names}: {what} in the "
                f"{'training ' if split else ''}rows, from which nothing can be learned: leave out, "
                f"columns={{{drop}}} (--columns {flags})"
            )


def _num_values(column: Column) -> int:
    """0, 1 or 2: number of different values, of which there may be more than two."""
    seen = column.seen()
    return 0 if not len(seen) else 1 + bool(np.any(seen != seen[0]))


def _fitted(where: str, column: Column) -> ColumnEncoding:
    if column.kind not in NUMBERS:
        return _fitted_levels(where, column)
    check_values(where, column)
    numbers = column.seen().astype(np.float64)
    if column.kind == "positive":
        numbers = np.log(numbers)
    if column.kind == "positive":
        _check_range(where, column, numbers - numbers.mean())
    scale = float(numbers.std())
    if not np.isfinite(scale) or scale <= 0:
        raise ValueError(
            f"{where}: column {column.name!r} must hold numbers whose variance is a float, got numbers from "
            f"{column.seen().min()} to {column.seen().max()}: divide them, or leave out, {remedy(column.name, 'drop')}"
        )
    return ColumnEncoding(column.name, column.kind, column.dtype, float(numbers.mean()), scale)


def _check_range(where: str, column: Column, logarithms: np.ndarray) -> None:
    """Checks that a positive column divided by its geometric mean is held by float32; takes the logarithms of that."""
    if np.abs(logarithms).max() > _LARGEST_LOG:
        raise ValueError(
            f"{where}: column {column.name!r} of kind positive must be within a factor of 10^37 of its geometric mean, "
            f"got numbers from {column.seen().min()} to {column.seen().max()}: take logarithms, or leave it out, "
            f"{remedy(column.name, 'drop')}"
        )


def _fitted_levels(where: str, column: Column) -> ColumnEncoding:
    found, counts = np.unique(column.seen(), return_counts=True)
    number = dict(zip(_plain(column, found), counts.tolist(), strict=True))
    levels = _ordered(where, column, tuple(number))
    name, kind = column.name, column.kind
    if kind == "binary" and len(levels) != 2:
        raise ValueError(
            f"{where}: column {name!r} is binary and must have two different values, got {len(levels)}: use another "
            f"kind, {remedy(name, 'category')}"
        )
    if len(levels) > MOST_LEVELS:
        raise ValueError(
            f"{where}: column {name!r} of kind {kind} must have at most {MOST_LEVELS:,} different values, got "
            f"{len(levels):,}: leave it out, {remedy(name, 'drop')}"
        )
    shares = tuple(number.get(level, 0) / len(column.seen()) for level in levels)
    return ColumnEncoding(name, kind, column.dtype, levels=levels, shares=shares)


def _plain(column: Column, values: np.ndarray) -> list[Any]:
    return values.tolist() if column.texts is None else [column.texts[i] for i in values.tolist()]


def _ordered(where: str, column: Column, found: Sequence[Any]) -> tuple[Any, ...]:
    if column.order is None:
        if column.kind == "ordinal" and column.texts is not None:
            some = "<".join(printable(text) for text in sorted(found)[:5])
            raise ValueError(
                f"{where}: column {column.name!r} holds texts, whose order is not known: give it, "
                f"{remedy(column.name, f'ordinal:{some}')} from the lowest to the highest"
            )
        return tuple(sorted(found))
    try:
        wanted = column.order if column.texts is not None else tuple(map(float, column.order))
    except ValueError:
        raise ValueError(
            f"{where}: column {column.name!r} holds numbers, which its order {'<'.join(column.order)} does not: give "
            f"numbers, or {remedy(column.name, 'ordinal')} for their own order"
        ) from None
    if unknown := [level for level in found if level not in wanted]:
        raise ValueError(
            f"{where}: column {column.name!r} holds {printable(unknown[0])!r}, which is not in its order "
            f"{'<'.join(column.order)}: add it"
        )
    return tuple(wanted)
