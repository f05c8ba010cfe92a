"""Records of measurements, with one or more claims, as JSON."""

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
    """A statement of one number: its measured values, the published number, and the project's limit."""

    claim: str
    unit: str
    values: Sequence[float]  # one for each seed
    paper: float | None = None  # published number
    at_most: float | None = None  # limit that the project has set itself

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def reached(self) -> bool | None:
        return None if self.at_most is None else self.mean <= self.at_most


@dataclasses.dataclass(frozen=True)
class Record:
    """Record of the measurements of one command, for the results page."""

    title: str
    protocol: str  # data, model, training and evaluation, as needed to repeat the measurement
    command: str
    claims: Sequence[Claim]
    seeds: Sequence[int]
    wall_seconds: Sequence[float]  # one for each seed, or one for all models that were trained at once
    device: str
    versions: dict[str, str]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)  # other numbers, as curves; not rendered


def write_record(path: Path, record: Record) -> None:
    """Writes the record as JSON, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_record(path: Path) -> Record:
    fields = json.loads(path.read_text())
    return Record(**fields | {"claims": [Claim(**claim) for claim in fields["claims"]]})
