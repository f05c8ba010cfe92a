"""Shared parts of the loggers in `vae_jax.runs.choices.loggers`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.atomic import write_atomically
from vae_jax.runs.choices.objectives import WEIGHTS
from vae_jax.runs.folder import RunFolder, defined
from vae_jax.runs.progress import say
from vae_jax.training import Row

# Keys that distinguish the rows of one epoch if a run has several models.
_OF_A_MODEL = ("seed", *(weight.rstrip("_") for weight in WEIGHTS))
_STATE = "logged.json"


class Logger(NamedTuple):
    """Destination of the metrics of a run, epoch by epoch."""

    log: Callable[[Sequence[Row]], None]  # (all rows of the run so far, by epoch) -> None; writes only new epochs
    close: Callable[[bool], None]  # (whether the training is complete)


def run_name(folder: RunFolder) -> str:
    """Name of the run; the name of a second stage includes the name of its run, in whose folder it lies."""
    place = folder.path.resolve()
    of_run = (place.parent / "config.json").exists()
    return f"{place.parent.name}/{place.name}" if of_run else place.name


def each_epoch_once(
    path: Path,
    logged: dict[str, Any],
    write: Callable[[int, str, Mapping[str, float]], None],
    flush: Callable[[], None],
) -> Callable[[Sequence[Row]], None]:
    """Makes `Logger.log` of a function of (epoch, model, numbers); the last epoch is noted in the folder.

    A resumed run trains the epochs after its last checkpoint again, with the same results, which are not logged again.
    """

    def log(rows: Sequence[Row]) -> None:
        new = [row for row in rows if row["epoch"] > logged["epoch"]]
        for row in new:
            series = "-".join(f"{name}-{row[name]:g}" for name in _OF_A_MODEL if name in row)
            numbers = {name: value for name, value in row.items() if name not in ("epoch", *_OF_A_MODEL)}
            # None stands for numbers that are not finite.
            write(int(row["epoch"]), series, {n: v for n, v in defined(numbers).items() if v is not None})
        if new:
            flush()
            logged["epoch"] = int(new[-1]["epoch"])
            write_note(path, logged)

    return log


def read_note(path: Path) -> dict[str, Any]:
    """Reads the note of earlier processes in the folder; if it is damaged, prints a line and returns an empty note."""
    note = path / _STATE
    try:
        logged = json.loads(note.read_text()) if note.exists() else {"epoch": 0}
        if not isinstance(logged["epoch"], int):
            raise ValueError("it has no epoch")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(f"{note} cannot be read ({error}): all epochs are logged again")
        return {"epoch": 0}
    return logged


def write_note(path: Path, logged: Mapping[str, Any]) -> None:
    path.mkdir(exist_ok=True)
    write_atomically(path / _STATE, json.dumps(logged))
