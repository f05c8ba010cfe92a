"""Reading of CSV files by Apache Arrow, after a look at the beginning of the file."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.tables._arrow import column_of
from vae_jax.data.tables._blocks import GrowingColumn
from vae_jax.data.tables._table import Column
from vae_jax.text import printable

MISSING = ("", " ", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "?")
_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEAD, _SAMPLED, _BLOCK = 2**18, 1_000, 2**20  # bytes and rows that are looked at first; bytes of a block of Arrow
_COMMA, _POINT = re.compile(r"\s*[+-]?\d+,\d+\s*"), re.compile(r"\s*[+-]?\d*\.\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_LEADING_ZERO = r"^0\d+$"


class Format(NamedTuple):
    """Properties of a CSV file."""

    separator: str
    decimal: str
    encoding: str
    header: list[str]
    texts: list[str]  # names of columns of digits with leading zeros, which are texts
    note: str


def format_of(path: str, encoding: str) -> Format:
    """Looks at the beginning of a file for its separator, decimal mark, encoding and header.

    Raises:
      ValueError: If the file is empty, has no header, or names two columns alike.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise ValueError(f"{path}: expected a table with a header, got an empty file")
    notes = []
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
        notes.append("UTF-16")
    try:
        text = head.decode(encoding, "replace").removeprefix("\ufeff")
    except LookupError:
        raise ValueError(f"encoding must be the name of a text encoding, such as latin-1, got {encoding!r}") from None
    if len(head) == _HEAD:
        text = text[: max(text.rfind("\n"), 1)]
    separator = max(_separators(path), key=lambda one: len(_records(path, text, one, 1)[0]))
    header, *records = _records(path, text, separator, _SAMPLED)
    cells = [cell for record in records for cell in record]
    comma = separator != "," and any(map(_COMMA.fullmatch, cells)) and not any(map(_POINT.fullmatch, cells))
    if separator != ("\t" if path.lower().endswith(".tsv") else ","):
        notes.append(f"columns separated by {_WORDS[separator]}")
    if comma:
        notes.append("decimal commas")
    _check_header(path, header)
    zeros = _with_leading_zeros(path, encoding, separator, header)
    if zeros:
        notes.append(f"numbers with leading zeros are read as texts in {', '.join(map(printable, zeros))}")
    return Format(separator, "," if comma else ".", encoding, header, zeros, "; ".join(notes))


def read_csv(
    path: str, how: Format, kinds: Mapping[str, str], texts: Collection[str], dropped: Collection[str]
) -> Iterator[Column]:
    """Reads the columns of a file, with types that are inferred from all rows.

    Args:
      path: The file.
      how: Its format.
      kinds: Kind of each column, or an empty text if it is to be inferred.
      texts: Columns that are read as texts, also if they look like numbers.
      dropped: Columns that are not read.

    Raises:
      ValueError: If rows have different numbers of cells, the file is not in the encoding, or `column_of` raises it.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv

    kept = [name for name in how.header if name not in dropped]
    convert = arrow_csv.ConvertOptions(
        column_types={name: pyarrow.string() for name in kept if name in texts},
        include_columns=kept,
        null_values=[*MISSING, *(f" {text}" for text in MISSING if text.strip())],
        strings_can_be_null=True,
        true_values=[],  # true and yes are texts, and written again as they were
        false_values=[],
        decimal_point=how.decimal,
        auto_dict_encode=True,
        auto_dict_max_cardinality=10_000,
    )
    parse = arrow_csv.ParseOptions(
        delimiter=how.separator, newlines_in_values=True, ignore_empty_lines=len(how.header) > 1
    )
    options = arrow_csv.ReadOptions(encoding=how.encoding, block_size=_BLOCK)
    try:
        try:
            # Every row takes a byte for each cell at least: its separator or the line's end.
            capacity = os.path.getsize(path) // max(len(how.header), 1) + 2
            reader = arrow_csv.open_csv(path, options, parse, convert)
            _check_encoding(path, how, reader.schema)
            return _in_blocks(path, reader, kinds, capacity)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            # A later block does not have the types of the first, or the file is wrong: Arrow looks at all of it.
            table = arrow_csv.read_csv(path, options, parse, convert)
            _check_encoding(path, how, table.schema)
            return (column_of(path, name, table.column(name), kinds[name]) for name in kept)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: cannot be read as {how.encoding}: {error.reason}: give its encoding") from None
    except pyarrow.ArrowInvalid as error:
        reason = str(error).split("\n")[0]
        raise ValueError(_ragged(path, how) or f"{path}: cannot be read as CSV: {printable(reason)}") from None


def _in_blocks(path: str, reader: Any, kinds: Mapping[str, str], capacity: int) -> Iterator[Column]:
    """Reads a file block by block: memory holds the cells, and a few blocks of text."""
    import pyarrow

    columns: dict[str, GrowingColumn] = {}
    row = 0
    with reader:
        for batch in reader:
            for name, array in zip(batch.schema.names, batch.columns, strict=True):
                part = column_of(path, name, pyarrow.chunked_array([array]), kinds[name], row)
                if name in columns:
                    columns[name].add(part)
                else:
                    columns[name] = GrowingColumn(part, capacity)
            row += batch.num_rows
    return (column.finished() for column in columns.values())


def _check_encoding(path: str, how: Format, schema: Any) -> None:
    """Raises ValueError if a column is binary: its cells are no text in UTF-8."""
    import pyarrow.types as types

    for column in schema.types:
        if types.is_binary(column.value_type if types.is_dictionary(column) else column):
            raise ValueError(
                f"{path}: expected text in {how.encoding}, got other bytes: save it as UTF-8, or give "
                "encoding='latin-1'"
            )


def _with_leading_zeros(path: str, encoding: str, separator: str, header: Sequence[str]) -> list[str]:
    """Names of columns with digits after a leading zero, such as 02134, anywhere in the file: codes, not numbers."""
    import pyarrow
    import pyarrow.compute as compute
    from pyarrow import csv as arrow_csv

    if encoding != "utf-16" and not _may_have_leading_zeros(path, separator):
        return []
    found: set[str] = set()
    convert = arrow_csv.ConvertOptions(column_types={name: pyarrow.string() for name in header})
    try:
        batches = arrow_csv.open_csv(
            path,
            arrow_csv.ReadOptions(encoding=encoding, block_size=_BLOCK),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert,
        )
        for batch in batches:
            for name in {*batch.schema.names} - found:
                if compute.any(compute.match_substring_regex(batch.column(name), _LEADING_ZERO)).as_py():
                    found.add(name)
    except (pyarrow.ArrowInvalid, UnicodeDecodeError):
        return []  # `read_csv` fails alike, with a message
    return [name for name in header if name in found]


def _may_have_leading_zeros(path: str, separator: str) -> bool:
    """Returns False if no 0 at the beginning of a cell is followed by a digit; much faster than parsing."""
    before = np.frombuffer(f'{separator}\n\r"'.encode(), np.uint8)
    with open(path, "rb") as file:
        rest = b"\n"
        while block := file.read(_BLOCK):
            data = np.frombuffer(rest + block, np.uint8)
            zeros = np.flatnonzero(data[1:-1] == ord("0"))
            after = data[zeros + 2]
            zeros = zeros[(after >= ord("0")) & (after <= ord("9"))]
            if np.isin(data[zeros], before).any():
                return True
            rest = block[-2:]
    return False


def _separators(path: str) -> Sequence[str]:
    return ("\t", *_SEPARATORS) if path.lower().endswith(".tsv") else _SEPARATORS


def _records(path: str, text: str, separator: str, most: int) -> list[list[str]]:
    try:
        records = []
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if record:
                records.append(record)
            if len(records) > most:
                break
        return records or [[]]
    except csv.Error as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from None


def _check_header(path: str, header: Sequence[str]) -> None:
    numbers = [name for name in header if _NUMBER.fullmatch(name)]
    whole = [int(name) for name in numbers if name.strip().isdigit()]
    # 0, 1, 2 or 2019, 2020 are names; 5.1, 3.5 or 17, 3, 17 are a row of data.
    if len(whole) < len(numbers) or whole != list(range(whole[0], whole[0] + len(whole)) if whole else []):
        raise ValueError(
            f"{path}: expected a header, a first line with the names of the columns, got numbers there, such as "
            f"{numbers[0]}: add such a line"
        )
    seen: set[str] = set()
    for place, name in enumerate(header):
        if name in seen:
            raise ValueError(f"{path}: expected different names of columns, got {printable(name)!r} twice: rename one")
        if not name.strip() and place:
            raise ValueError(f"{path}: expected a name for every column, got none for column {place + 1}: add it")
        seen.add(name)


def _ragged(path: str, how: Format) -> str | None:
    """Message on the first line with a wrong number of cells, or None if there is none."""
    with open(path, encoding=how.encoding, errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=how.separator)
        try:
            for record in reader:
                if record and len(record) != len(how.header):
                    return (
                        f"{path}: expected {len(how.header)} cells in every line, as in the header, got {len(record)} "
                        f"in line {reader.line_num}: correct that line; cells with {_WORDS[how.separator]} need quotes"
                    )
        except csv.Error:
            return None
    return None
