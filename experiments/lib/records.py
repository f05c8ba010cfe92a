"""Records: what one script measured for one or more claims, as JSON."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_jax.atomic import write_atomically


@dataclasses.dataclass(frozen=True)
class Claim:
    """One number that can be wrong."""

    claim: str
    unit: str
    values: Sequence[float]  # one a seed
    paper: float | None = None  # the published number
    at_most: float | None = None  # the bar that the project has set itself

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def reached(self) -> bool | None:
        return None if self.at_most is None else self.mean <= self.at_most


@dataclasses.dataclass(frozen=True)
class Record:
    """Record of what one command measured, for the results page."""

    title: str
    protocol: str  # data, model, training, evaluation: what one must know to measure it again
    command: str
    claims: Sequence[Claim]
    seeds: Sequence[int]
    wall_seconds: Sequence[float]  # one a seed, or one of all that were trained at once
    device: str
    versions: dict[str, str]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)  # curves and the like; not rendered


def write_record(path: Path, record: Record) -> None:
    """Writes the record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_record(path: Path) -> Record:
    fields = json.loads(path.read_text())
    return Record(**fields | {"claims": [Claim(**claim) for claim in fields["claims"]]})
