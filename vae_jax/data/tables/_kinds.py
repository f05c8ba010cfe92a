"""Kinds of columns: inference from the values, choices of the user, and checks of values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from vae_jax.data.tables._table import KINDS, NUMBERS, Column, remedy
from vae_jax.text import printable

MOST_INFERRED_LEVELS, MOST_LEVELS = 1_000, 10_000
LARGEST_COUNT = 2**24  # larger whole numbers are not exact in float32


def given_kind(name: str, text: str) -> tuple[str, tuple[str, ...] | None]:
    """Kind and order of levels of a user's choice: `count`, `ordinal`, or `ordinal:small<medium<large`.

    Raises:
      ValueError: If there is no such kind, or an order repeats a level or has fewer than two.
    """
    kind, colon, levels = text.partition(":") if isinstance(text, str) else (text, "", "")
    if kind not in KINDS or (colon and kind != "ordinal"):
        raise ValueError(
            f"columns: column {name!r} must be {', '.join(KINDS)}, or ordinal:low<middle<high, got {text!r}"
        )
    order = tuple(level.strip() for level in levels.split("<")) if colon else None
    if order is not None and (len(order) < 2 or len(set(order)) < len(order) or "" in order):
        raise ValueError(f"columns: the order of {name!r} must be two or more different levels, a<b<c, got {levels!r}")
    return kind, order


def check_names(where: str, names: Iterable[str], found: Sequence[str]) -> None:
    """Raises ValueError if one of the names is not among those found."""
    for name in names:
        if name not in found:
            shown = ", ".join(printable(each) for each in found[:30]) + (", ..." if len(found) > 30 else "")
            raise ValueError(f"{where} has no column {name!r}; its columns are {shown}")


def with_inferred_kind(where: str, column: Column, first: bool) -> Column:
    """The column with a kind inferred from its values, by the rules of `load_table`.

    Raises:
      ValueError: If it mixes texts and numbers, or has too many different texts.
    """
    return dataclasses.replace(column, kind=_inferred(where, column, first))


def _inferred(where: str, column: Column, first: bool) -> str:
    seen = column.seen()
    if column.texts is not None:
        return _kind_of_texts(where, column, first)
    if len(seen) == 0:
        return "continuous"
    if first and column.observed is None and column.name in ("", "__index_level_0__") and _row_numbers(seen):
        return "name"
    low, high = seen.min(), seen.max()
    if low < high and np.all((seen == low) | (seen == high)):
        return "binary"
    whole = seen.dtype.kind in "iub" or bool(np.all(seen == np.floor(seen)))
    numbers = seen.astype(np.float64)
    # Counts have a variance of at least about their mean (a Poisson distribution); years and codes of places have not.
    if whole and low >= 0 and high <= LARGEST_COUNT and numbers.var() >= 0.5 * numbers.mean():
        return "count"
    return (
        "positive"
        if low > 0 and low < high and abs(_skewness(np.log(numbers))) < abs(_skewness(numbers))
        else ("continuous")
    )


def _kind_of_texts(where: str, column: Column, first: bool) -> str:
    texts, name = [text for text in column.texts or () if text], column.name
    some = texts[:10_000]
    odd = next((text for text in texts if not _is_number(text)), None)
    # Texts among numbers, or numbers with decimal commas. Texts that all look like numbers have leading zeros.
    if odd is not None and 2 * sum(map(_looks_like_a_number, some)) > len(some):
        row = column.cells().index(odd)
        raise ValueError(
            f"{where}: column {name!r} holds numbers and the text {printable(odd)!r} in row {row}: correct it, leave "
            f"the cell empty if its value is not known, or read all as texts, {remedy(name, 'category')}"
        )
    if first and column.observed is None and len(texts) == len(column.values) > 1:
        return "name"
    if len(texts) > MOST_INFERRED_LEVELS:
        raise ValueError(
            f"{where}: column {name!r} has {len(texts):,} different texts, too many for categories: leave it out, "
            f"{remedy(name, 'drop')}, or let it name the rows, {remedy(name, 'name')}"
        )
    return "binary" if len(texts) == 2 else "category"


def _row_numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "iu" and values[0] in (0, 1) and bool(np.all(np.diff(values) == 1))


def _looks_like_a_number(text: str) -> bool:
    return _is_number(text.replace(",", "", 1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _skewness(values: np.ndarray) -> float:
    deviations = values - values.mean()
    return float(np.mean(deviations**3) / max(np.mean(deviations**2) ** 1.5, 1e-300))


def check_values(where: str, column: Column, row_names: Callable[[], Sequence[str]] | None = None) -> None:
    """Checks that the values of a column are possible for its kind.

    Args:
      where: Name of the table, for messages.
      column: The column.
      row_names: Returns the names of its rows. Default: their indices.

    Raises:
      ValueError: If they are not; the message names the row, and the value.
    """
    name, kind = column.name, column.kind
    row_name = lambda row: printable(row if row_names is None else row_names()[row])
    if kind in NUMBERS and column.texts is not None:
        if column.observed is not None and not column.observed.any():
            return
        found = [(row, text) for row, text in enumerate(column.cells()) if text is not None]
        row, text = next((each for each in found if not _is_number(each[1])), found[0])
        raise ValueError(
            f"{where}: row {row_name(row)}, column {name!r}: a column of kind {kind} must hold numbers, got "
            f"{printable(text)!r}: correct it, or leave the cell empty if its value is not known"
        )
    if kind not in ("positive", "count"):
        return
    values = column.values
    wrong = (
        values <= 0 if kind == "positive" else (values < 0) | (values > LARGEST_COUNT) | (values != np.floor(values))
    )
    if column.observed is not None:
        wrong &= column.observed
    if wrong.any():
        row = int(np.argmax(wrong))
        wanted = "numbers above 0" if kind == "positive" else f"whole numbers from 0 to {LARGEST_COUNT:,}"
        raise ValueError(
            f"{where}: row {row_name(row)}, column {name!r}: a column of kind {kind} must hold {wanted}, got "
            f"{values[row]}: correct it, leave the cell empty, or use another kind, {remedy(name, 'continuous')}"
        )
