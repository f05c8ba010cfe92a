"""Differences between two configurations, as text."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration as it is read back from JSON: tuples become lists, paths become strings."""
    return json.loads(json.dumps(dict(config), default=str))


def differing(
    existing: Mapping[str, Any],
    given: Mapping[str, Any],
    changeable: Collection[str] = (),
    names: tuple[str, str] = ("the run", "now"),
) -> str:
    """Lists the fields in which two configurations differ, such as those of a run and of a command; "" if none differ.

    Args:
      existing: First configuration, read from JSON.
      given: Second configuration, JSON-like.
      changeable: Fields that may differ.
      names: Names of the two configurations in the text.
    """
    now, (first, second) = as_json(given), names
    fields = sorted(name for name in existing.keys() | now.keys() if existing.get(name) != now.get(name))
    return ", ".join(
        f"{name} ({first}: {existing.get(name)!r}, {second}: {now.get(name)!r})"
        for name in fields
        if name not in changeable
    )
