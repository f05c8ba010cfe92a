"""Encoding of one column of a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from vae_jax.data.tables._codes import from_codes
from vae_jax.data.tables._kinds import MOST_LEVELS
from vae_jax.data.tables._table import MODELED, NUMBERS
from vae_jax.text import printable

_NUMBER_TYPES = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64")


@dataclasses.dataclass(frozen=True)
class ColumnEncoding:
    """Encoding of one column, fitted on training rows.

    Attributes:
      name: Name of the column.
      kind: One of `continuous`, `positive`, `count`, `binary`, `category`, `ordinal`.
      dtype: Type in the file: `text`, `bool`, or numpy's name of the numbers' type.
      location: Mean of the values, or of their logarithms (positive). 0 for levels.
      scale: Standard deviation of the same numbers, above 0. 1 for levels.
      levels: Different values of a binary, category or ordinal column, in order.
      shares: Share of each level among the training cells that are not missing.
    """

    name: str
    kind: str
    dtype: str
    location: float = 0.0
    scale: float = 1.0
    levels: tuple[Any, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def group(self) -> str:
        """Name of the group of the column's kind (and number of levels), such as `continuous` or `category_7`."""
        return f"{self.kind}_{len(self.levels)}" if self.kind in ("category", "ordinal") else self.kind

    @property
    def array_dtype(self) -> type:
        """Type in the encoded array: int32 for categories and ordinals, else float32."""
        return np.int32 if self.kind in ("category", "ordinal") else np.float32

    def encoded(self, values: np.ndarray) -> np.ndarray:
        """Encodes numbers, or places in `levels`; the cells are not missing."""
        if self.kind == "continuous":
            return (values.astype(np.float64) - self.location) / self.scale
        return values * np.exp(-self.location) if self.kind == "positive" else values

    def decoded(self, values: np.ndarray) -> np.ndarray | list[str]:
        """Inverse of `encoded`, with the file's type; categories may also be given as shares `[N, K]`."""
        if self.levels:
            codes = np.argmax(values, axis=-1) if values.ndim == 2 else np.rint(values).astype(np.int64)
            return from_codes(codes, self.levels, self.dtype)
        values, least = values.astype(np.float64), 0.0
        if self.kind == "continuous":
            values, least = values * self.scale + self.location, abs(self.location) + self.scale
        elif self.kind == "positive":
            values = values * np.exp(self.location)
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            bounds = np.iinfo(dtype)
            most = float(bounds.max)
            # 2^63 - 1 is rounded up to 2^63, which is no int64.
            most = most if int(most) <= bounds.max else float(np.nextafter(most, 0.0))
            return np.clip(np.rint(values), bounds.min, most).astype(dtype)
        return _seven_digits(values, least).astype(dtype)


def column_from_json(stored: Any) -> ColumnEncoding:
    """Makes the encoding of a column of a JSON object, of which everything is checked.

    Raises:
      ValueError: If a field is missing, unknown, of another type, or impossible.
    """
    wanted = {field.name for field in dataclasses.fields(ColumnEncoding)}
    if not isinstance(stored, dict) or set(stored) != wanted:
        raise ValueError(f"the encoding of a column must have the fields {', '.join(sorted(wanted))}")
    name, kind, dtype = stored["name"], stored["kind"], stored["dtype"]
    if not isinstance(name, str):
        raise ValueError("the encoding of a column must have a text as name")
    where = f"the encoding of column {printable(name)!r}"
    if kind not in MODELED or dtype not in ("text", "bool", *_NUMBER_TYPES):
        raise ValueError(f"{where} has an unknown kind {printable(kind)!r} or type {printable(dtype)!r}")
    location, scale, levels, shares = (stored[field] for field in ("location", "scale", "levels", "shares"))
    if not (_finite(location) and _finite(scale) and scale > 0):
        raise ValueError(f"{where} must have a finite location and a scale above 0")
    if not isinstance(levels, list | tuple) or not isinstance(shares, list | tuple):
        raise ValueError(f"{where} must have lists of levels and shares")
    allowed = (str,) if dtype == "text" else (bool, int, float)
    counted = 2 if kind == "binary" else len(levels)
    if kind in NUMBERS:
        if levels or shares or dtype in ("text", "bool"):
            raise ValueError(f"{where} is of kind {kind} and must have a type of numbers and no levels")
    elif not (
        len(levels) == counted == len(set(levels_of(where, levels, allowed)))
        and 2 <= len(levels) <= MOST_LEVELS
        and len(shares) == len(levels)
        and all(_finite(share) and 0 <= share <= 1 for share in shares)
    ):
        raise ValueError(f"{where} must have 2 to {MOST_LEVELS:,} different levels and a share for each")
    return ColumnEncoding(name, kind, dtype, float(location), float(scale), tuple(levels), tuple(map(float, shares)))


def levels_of(where: str, levels: Any, allowed: tuple[type, ...]) -> Any:
    """Returns the levels; raises ValueError if one is not of an allowed type, or not finite."""
    for level in levels:
        if not isinstance(level, allowed) or (isinstance(level, float) and not math.isfinite(level)):
            raise ValueError(f"{where} must have levels of the column's type, got {printable(level)!r}")
    return levels


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _seven_digits(values: np.ndarray, least: float) -> np.ndarray:
    """Rounds to the seven digits that float32 holds, so that 0.1 is not written as 0.10000000149.

    Digits are counted from the first of the value, or of `least` if that is larger: the precision of a sum.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        digits = 6 - np.floor(np.log10(np.maximum(np.abs(values), least)))
        power = 10.0 ** np.clip(np.where(np.isfinite(digits), digits, 0), -300, 300)
        rounded = np.rint(values * power) / power
    return np.where(np.isfinite(rounded), rounded, values)
