"""How tables and cards write what a configuration and a summary hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: Any) -> str:
    """A number of a summary: two decimals (below 1 four digits), whole numbers whole, nothing where there is none."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(number, value))
    if isinstance(value, bool) or value is None:
        return "" if value is None else ("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A part of a summary that must be a mapping; an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Mapping[str, Any]]:
    """A part of a summary that must be a list of mappings; an empty one in place of anything else."""
    return value if isinstance(value, list) and all(isinstance(each, Mapping) for each in value) else []


def setting(value: Any) -> str:
    """A setting as it is given, all its digits: 0.001, not 0.00."""
    return " ".join(map(setting, value)) if isinstance(value, (list, tuple)) else str(value)
