"""Training in a run folder: begun there, continued from its last checkpoint, or found finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import jax

from vae_jax.experiment.environment import seconds_since_start
from vae_jax.experiment.loggers import MakeLogger, no_logger
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.runs import RunFolder, defined
from vae_jax.training import Row
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.processes import is_writer

ProgressT = TypeVar("ProgressT")  # Progress, or EnsembleProgress


class Training(NamedTuple, Generic[ProgressT]):
    """What `train_in_folder` leaves."""

    progress: ProgressT
    checkpoints: OrbaxCheckpoints
    seconds: Callable[[], float]  # that the run has taken by now, over all processes that worked on it
    seconds_to_first_step: float | None  # since the command began; None where the run was found finished


def train_in_folder(
    folder: RunFolder,
    config: Mapping[str, Any],
    display: ProgressDisplay,
    key: jax.Array,
    started: float,
    begin: Callable[..., ProgressT],
    rows_of: Callable[[Any], Iterable[Row]] = lambda history: history,
    log: MakeLogger = no_logger,
) -> Training[ProgressT]:
    """A fit, with its checkpoints and `metrics.jsonl` in the folder; the same call again goes on where it stopped.

    Args:
      folder: of this run; it holds the configuration already.
      config: JSON-like, saved in the checkpoints.
      display: shows every epoch.
      key: the run's, saved in the checkpoints and compared.
      started: `time.monotonic()` when this process began to work on the run.
      begin: `fit` or `fit_ensemble` with all but its checkpoints, on_start and on_epoch.
      rows_of: the rows of a history, of all models.
      log: where the rows go beside `metrics.jsonl`.
    """
    rows = folder.metrics()
    spent = rows[-1]["seconds"] if rows else 0.0
    seconds_at = {row["epoch"]: row["seconds"] for row in rows}
    first_step: list[float] = []

    def seconds() -> float:
        return round(spent + time.monotonic() - started, 2)

    def on_start() -> None:
        first_step.append(round(seconds_since_start(), 2))
        display.say(f"first step {first_step[0]:.1f} s after the command began")

    def on_epoch(history: Any) -> None:
        rows = sorted(rows_of(history), key=lambda row: row["epoch"])
        # Epochs after the last checkpoint are done again, in the same bits.
        seconds_at[rows[-1]["epoch"]] = seconds()
        if is_writer():
            folder.write_metrics([defined(row) | {"seconds": seconds_at[row["epoch"]]} for row in rows])
            logger.log(rows)
        display.show([row for row in rows if row["epoch"] == rows[-1]["epoch"]])

    checkpoints = OrbaxCheckpoints(folder.checkpoints, key, config)
    logger = (log if is_writer() else no_logger)(folder, config)
    try:
        progress = begin(checkpoints=checkpoints, on_start=on_start, on_epoch=on_epoch)
    finally:
        logger.close()
    return Training(progress, checkpoints, seconds, first_step[0] if first_step else None)
