"""Differences between two configurations, in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it will be read back: tuples are lists, paths are strings."""
    return json.loads(json.dumps(dict(config), default=str))


def differing(existing: Mapping[str, Any], given: Mapping[str, Any], changeable: Collection[str] = ()) -> str:
    """The fields in which a run's configuration and the one given now differ; "" if in none.

    Args:
      existing: of the run, as JSON has it.
      given: JSON-like.
      changeable: fields that may differ.
    """
    now = as_json(given)
    names = sorted(name for name in existing.keys() | now.keys() if existing.get(name) != now.get(name))
    return ", ".join(f"{n} (the run: {existing.get(n)!r}, now: {now.get(n)!r})" for n in names if n not in changeable)
