"""The header of a safetensors file, read and checked before any memory is taken for its arrays."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.json_files import parse_object

_MOST_BYTES = 16 * 2**20  # of the header
_LENGTH_BYTES = 8
# Names of types in the file, and their sizes.
_TYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
}


class Stored(NamedTuple):
    """An array as the header describes it."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def read_header(path: Path) -> dict[str, Stored]:
    """Reads which arrays a safetensors file holds.

    Args:
      path: the file.

    Returns:
      Type and shape of each array by its name.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no regular file, its header is not valid, or the file is of another size than its arrays.
    """
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it must be a regular file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= min(_MOST_BYTES, about.st_size - _LENGTH_BYTES):
            raise ValueError(f"its header says that it is {length:,} bytes long, of a file of {about.st_size:,}")
        fields = parse_object(file.read(length).decode("utf-8"))
    fields.pop("__metadata__", None)
    end = 0
    for begin, after, nbytes in sorted(_place(name, entry) for name, entry in fields.items()):
        if begin != end or after - begin != nbytes:
            raise ValueError("its header places arrays over one another, with gaps, or in another size than theirs")
        end = after
    if _LENGTH_BYTES + length + end != about.st_size:
        raise ValueError(f"it is {about.st_size:,} bytes long, but its header says {_LENGTH_BYTES + length + end:,}")
    return {name: Stored(_TYPES[entry["dtype"]][0], tuple(entry["shape"])) for name, entry in fields.items()}


def _place(name: str, entry: Any) -> tuple[int, int, int]:
    """Start and end of an array's bytes, and the number that there must be."""
    whole = lambda values: isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("dtype"), str)
        and entry["dtype"] in _TYPES
        and whole(entry.get("shape"))
        and whole(entry.get("data_offsets"))
        and len(entry["data_offsets"]) == 2
    ):
        raise ValueError(f"its header has no type, shape and place of {name[:80]!r} that this version reads")
    begin, after = entry["data_offsets"]
    return begin, after, math.prod(entry["shape"]) * _TYPES[entry["dtype"]][1]
