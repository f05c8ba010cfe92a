"""Encoding of bytes and arrays for the page."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np


def packed_bytes(data: bytes) -> str:
    """Compresses bytes to gzip in base64; equal bytes give equal texts."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii")


def packed_array(array: np.ndarray) -> dict[str, Any]:
    """Encodes an array: shape, dtype, and its elements row by row, little-endian."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": packed_bytes(little.tobytes())}
