"""Numbers and settings as text, for pages, model cards, tables and the terminal.

All numbers follow one rule: whole numbers have no decimals, and commas; all others have a fixed number of decimals (2
unless the table of metrics names another), but at least two significant digits: 1,234.57, 0.20, 0.0034.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether the value is a real number, and not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def formatted(value: Any, digits: int = 2) -> str:
    """Text of a value of a summary.

    Args:
      value: a number, or a list of them; a bool, which is "yes" or "no"; None, which is "not defined"; or a text.
      digits: decimals of a number that is not whole; at least two significant digits are shown.
    """
    if isinstance(value, list | tuple):
        return ", ".join(formatted(each, digits) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "not defined", True: "yes", False: "no"}[value]
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        number = float(value) + 0.0  # no -0.00
        # Rounded first, so that 0.0996 is 0.10 and not 0.1.
        rounded = abs(float(f"{number:.2g}"))
        return f"{number:#.2g}" if 0 < rounded < 10.0 ** (1 - digits) else f"{number:,.{digits}f}"
    return str(value)


def duration(seconds: float) -> tuple[str, str]:
    """Duration and its unit: seconds below two minutes, minutes below an hour, else hours and minutes, such as 2:03."""
    if seconds < 120:
        return f"{seconds:.1f}", "seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    return (f"{hours}:{minutes:02d}", "hours") if hours else (f"{seconds / 60:.1f}", "minutes")


def setting(value: Any) -> str:
    """Text of a setting with all digits, as on the command line: 0.001, 4, 400 200."""
    if isinstance(value, list | tuple):
        return " ".join(map(setting, value))
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns the value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Mapping[str, Any]]:
    """Returns the value if it is a list of mappings, else an empty one."""
    return value if isinstance(value, list) and all(isinstance(each, Mapping) for each in value) else []
