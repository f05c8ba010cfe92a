"""Bytes and arrays on their way into the page."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np


def packed_bytes(data: bytes) -> str:
    """Gzip in base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii")


def packed_array(array: np.ndarray) -> dict[str, Any]:
    """The numbers row by row, little-endian, with shape and dtype beside them."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": packed_bytes(little.tobytes())}
