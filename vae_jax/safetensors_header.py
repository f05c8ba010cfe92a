"""Header of a safetensors file, read and checked before memory is allocated for its arrays."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.json_files import parse_object

_MOST_BYTES = 16 * 2**20  # largest size of the header
_LENGTH_BYTES = 8
# Name of a type in the file -> (name of the type in JAX, size in bytes).
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
_SIZES = dict(_TYPES.values())


class Stored(NamedTuple):
    """Type and shape of an array, from the header."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @property
    def nbytes(self) -> int:
        """Size in the file, in bytes."""
        return _SIZES[self.dtype] * math.prod(self.shape)


class Header(NamedTuple):
    """Header of a safetensors file."""

    arrays: dict[str, Stored]  # by name, in the order of their bytes
    metadata: dict[str, str]  # by name
    length: int  # number of bytes before the arrays


def read_header(path: Path) -> Header:
    """Reads the header of a safetensors file.

    Args:
      path: Path of the file.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it is not a regular file, its header is invalid, or its size is not that of its arrays.
    """
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it must be a regular file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= min(_MOST_BYTES, about.st_size - _LENGTH_BYTES):
            raise ValueError(f"its header claims a length of {length:,} bytes, in a file of {about.st_size:,}")
        fields = parse_object(file.read(length).decode("utf-8"))
    metadata = fields.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise ValueError("its metadata must be texts by name")
    end, places = 0, {name: _place(name, entry) for name, entry in fields.items()}
    names = sorted(places, key=lambda name: places[name])
    for begin, after, nbytes in map(places.__getitem__, names):
        if begin != end or after - begin != nbytes:
            raise ValueError("its header describes arrays that overlap, have gaps between them or have a wrong size")
        end = after
    if _LENGTH_BYTES + length + end != about.st_size:
        raise ValueError(f"it must have {_LENGTH_BYTES + length + end:,} bytes by its header, got {about.st_size:,}")
    arrays = {name: Stored(_TYPES[fields[name]["dtype"]][0], tuple(fields[name]["shape"])) for name in names}
    return Header(arrays, metadata, _LENGTH_BYTES + length)


def make_header(arrays: Mapping[str, Stored], metadata: Mapping[str, str]) -> bytes:
    """Makes the bytes before the arrays, whose bytes must follow in the order of the dict.

    Raises:
      ValueError: If the format does not support the type of an array; the message begins with its name.
    """
    types = {name: short for short, (name, _) in _TYPES.items()}
    fields: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, stored in arrays.items():
        if stored.dtype not in types:
            raise ValueError(f"{name} has the type {stored.dtype}, which a safetensors file cannot hold")
        begin, end = end, end + stored.nbytes
        fields[name] = {"dtype": types[stored.dtype], "shape": list(stored.shape), "data_offsets": [begin, end]}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8 bytes
    if len(text) > _MOST_BYTES:
        raise ValueError(f"names and shapes must take at most {_MOST_BYTES:,} bytes in a header, got {len(text):,}")
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _place(name: str, entry: Any) -> tuple[int, int, int]:
    """Start and end of an array's bytes, and their expected number."""
    integers = lambda values: isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("dtype"), str)
        and entry["dtype"] in _TYPES
        and integers(entry.get("shape"))
        and integers(entry.get("data_offsets"))
        and len(entry["data_offsets"]) == 2
    ):
        raise ValueError(f"its header must have a supported type, a shape and offsets of {name[:80]!r}")
    begin, after = entry["data_offsets"]
    return begin, after, math.prod(entry["shape"]) * _TYPES[entry["dtype"]][1]
