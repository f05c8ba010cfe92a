"""Conversion of arrays of Apache Arrow to columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from vae_jax.data.tables._table import Column, remedy

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}\S*)?|\d{1,2}:\d{2}(:\d{2}\S*)?")


def column_of(where: str, name: str, array: Any, kind: str, first_row: int = 0) -> Column:
    """Converts an Arrow array to a column; nulls, NaN and empty texts are missing.

    Args:
      where: Name of the table, for messages.
      name: Name of the column.
      array: `pyarrow.ChunkedArray`.
      kind: Kind of the column, or an empty string if it is to be inferred.
      first_row: Index of its first row, for messages.

    Raises:
      ValueError: If it holds dates or times, lists or other structures, or an infinite number.
    """
    import pyarrow.types as types

    if types.is_dictionary(array.type) and not types.is_string(array.type.value_type):
        array = array.cast(array.type.value_type)
    if types.is_temporal(array.type):
        if kind not in ("name", "keep"):
            raise ValueError(dates(where, name, next(iter(array.drop_null().to_pylist()), array.type)))
        array = array.cast("string")
    if types.is_dictionary(array.type) or any(
        is_text(array.type) for is_text in (types.is_string, types.is_large_string, types.is_string_view)
    ):
        return _texts(where, name, array, kind)
    if types.is_null(array.type):
        return Column(name, np.zeros(len(array)), np.zeros(len(array), bool), kind)
    if types.is_decimal(array.type):
        array = array.cast("float64")
    if types.is_floating(array.type):
        return _floats(where, name, array.cast("float32") if types.is_float16(array.type) else array, kind, first_row)
    if types.is_boolean(array.type) or types.is_integer(array.type):
        observed = _bools(array.is_valid()) if array.null_count else None
        values = array.fill_null(False if types.is_boolean(array.type) else 0) if array.null_count else array
        return Column(name, values.to_numpy(), observed, kind)
    raise ValueError(
        f"{where}: column {name!r} must hold numbers or texts, got {array.type}: leave it out, {remedy(name, 'drop')}"
    )


def _bools(array: Any) -> np.ndarray:
    return np.asarray(array.to_numpy(), bool)


def _floats(where: str, name: str, array: Any, kind: str, first_row: int) -> Column:
    values = array.to_numpy()
    missing = np.isnan(values)
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise ValueError(
            f"{where}: column {name!r} must hold finite numbers, got {values[row]} in row {first_row + row}: leave "
            "the cell empty if its value is not known"
        )
    return Column(name, values, ~missing if missing.any() else None, kind)


def _texts(where: str, name: str, array: Any, kind: str) -> Column:
    import pyarrow.types as types

    array = array.unify_dictionaries() if types.is_dictionary(array.type) else array.dictionary_encode()
    chunks = array.chunks
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in chunks]
    values = np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int32, copy=False)
    texts = chunks[0].dictionary.to_pylist() if chunks else []
    if "" in texts:
        values[values == texts.index("")] = -1
    missing = values < 0
    column = Column(name, np.maximum(values, 0), ~missing if missing.any() else None, kind, tuple(texts) or ("",))
    if not kind:
        some = [text for text in texts[:1000] if text]
        if some and all(_DATE.fullmatch(text.strip()) for text in some):
            raise ValueError(dates(where, name, some[0]))
    return column


def dates(where: str, name: str, example: Any) -> str:
    """Message on a column of dates or times."""
    return (
        f"{where}: column {name!r} holds dates or times, such as {str(example)!r}: replace them by numbers, such as "
        f"days since the first date or the month, or leave the column out, {remedy(name, 'drop')}"
    )
