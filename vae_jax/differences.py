"""Differences between two configurations, in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it will be read back: tuples are lists, paths are strings."""
    return json.loads(json.dumps(dict(config), default=str))


def differing(
    existing: Mapping[str, Any],
    given: Mapping[str, Any],
    changeable: Collection[str] = (),
    names: tuple[str, str] = ("the run", "now"),
) -> str:
    """The fields in which two configurations differ, such as those of a run and one given now; "" if in none.

    Args:
      existing: the first one, as JSON has it.
      given: the second one, JSON-like.
      changeable: fields that may differ.
      names: what the two are called.
    """
    now, (one, other) = as_json(given), names
    fields = sorted(name for name in existing.keys() | now.keys() if existing.get(name) != now.get(name))
    return ", ".join(
        f"{name} ({one}: {existing.get(name)!r}, {other}: {now.get(name)!r})"
        for name in fields
        if name not in changeable
    )
