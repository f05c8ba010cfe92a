"""Training in a run folder, which is begun, or continued from the last checkpoint, or found finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import jax

from vae_jax.runs.choices.loggers import MakeLogger, no_logger
from vae_jax.runs.fitting.resume import check_not_lost
from vae_jax.runs.fitting.signals import stopping
from vae_jax.runs.folder import RunFolder, defined
from vae_jax.runs.machine import seconds_since_start
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.training import EnsembleProgress, Progress, Row
from vae_jax.training.checkpoints import OrbaxCheckpoints, newest
from vae_jax.training.distributed import is_writer

ProgressT = TypeVar("ProgressT", Progress, EnsembleProgress)


class Training(NamedTuple, Generic[ProgressT]):
    """Result of `train_in_folder`."""

    progress: ProgressT
    checkpoints: OrbaxCheckpoints
    seconds: Callable[[], float]  # seconds of the run so far, including earlier processes that worked on it
    seconds_to_first_step: float | None  # since the start of the command; None if the run was found finished


def train_in_folder(
    folder: RunFolder,
    config: Mapping[str, Any],
    display: ProgressDisplay,
    key: jax.Array,
    started: float,
    begin: Callable[..., ProgressT],
    rows_of: Callable[[Any], Iterable[Row]] = lambda history: history,
    log: MakeLogger = no_logger,
    changeable: Collection[str] = (),
    upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Training[ProgressT]:
    """Trains with checkpoints and `metrics.jsonl` in the folder; a second call continues the training.

    Args:
      folder: folder of the run, which holds the configuration already.
      config: JSON-like configuration, saved in the checkpoints and compared with theirs.
      display: shows every epoch.
      key: key of the run, saved in the checkpoints and compared with theirs.
      started: `time.monotonic()` when this process began to work on the run.
      begin: `fit` or `fit_ensemble` with all arguments except checkpoints, on_start and on_epoch.
      rows_of: history -> rows of all models.
      log: makes the logger of the rows beside `metrics.jsonl`.
      changeable: fields of config that may differ from those of the checkpoint.
      upgrade: config of an earlier version -> config of this version.

    Raises:
      Damaged: the folder has lost its checkpoints, or all of them are damaged.
      Interrupted: a signal asked the run to end; the run is saved.
      OSError: the folder cannot be written to.
    """
    check_not_lost(folder)
    if newest(folder.checkpoints) is None and not folder.made_here:
        display.say("the run was stopped before its first checkpoint: it starts again at epoch 1")
    about, rows = folder.about(), _rows_so_far(folder, display)
    clock = _Clock(started, rows)
    sorted_rows = lambda history: sorted(rows_of(history), key=lambda row: row["epoch"])

    def notes(progress: ProgressT) -> dict[str, Any]:
        return {"seconds": clock.seconds_of(rows_of(progress.history)), "about": about}

    with stopping(display.say) as signals:
        logger = (log if is_writer() else no_logger)(folder, config)
        checkpoints = OrbaxCheckpoints(
            folder.checkpoints,
            key,
            config,
            changeable=changeable,
            upgrade=upgrade,
            notes=notes,
            stop=signals.asked,
            say=display.say,
        )
        first_step: list[float] = []
        lines: list[str] = []  # of metrics.jsonl; each row is turned into JSON only once

        def on_start() -> None:
            clock.recall(checkpoints.restored_notes)
            first_step.append(round(seconds_since_start(), 2))
            display.say(f"first training step {first_step[0]:.1f} s after the start of the command")
            signals.begin()

        def write(history: list[Row]) -> None:
            if is_writer():
                lines.extend(json.dumps(defined(row) | {"seconds": clock.at(row)}) for row in history[len(lines) :])
                folder.write_metrics(lines)
                logger.log(history)

        def on_epoch(history: Any) -> None:
            rows = sorted_rows(history)
            clock.pass_epoch(rows[-1])
            write(rows)
            display.show([row for row in rows if row["epoch"] == rows[-1]["epoch"]])
            if checkpoints.stopping:
                signals.end(asked=True)

        complete = False
        try:
            progress = begin(checkpoints=checkpoints, on_start=on_start, on_epoch=on_epoch)
            if not first_step:
                clock.recall(checkpoints.restored_notes)
                whole = sorted_rows(progress.history)
                # A process that is killed right after its last save has not written its last row.
                if [row["epoch"] for row in rows] != [row["epoch"] for row in whole]:
                    write(whole)
                elif is_writer():
                    logger.log(whole)  # the logger may have missed some rows
            complete = True
        finally:
            logger.close(complete)
        signals.end()
    return Training(progress, checkpoints, clock.now, first_step[0] if first_step else None)


class _Clock:
    """Seconds that a run has taken at the end of each epoch, including earlier processes that worked on it.

    Args:
      started: `time.monotonic()` when this process began to work on the run.
      rows: rows of `metrics.jsonl` that earlier processes wrote.
    """

    def __init__(self, started: float, rows: Iterable[Mapping[str, float]]):
        self._started = started
        self._at: dict[int, float] = {int(row["epoch"]): row.get("seconds", 0.0) for row in rows}
        self._spent = max(self._at.values(), default=0.0)

    def now(self) -> float:
        return round(self._spent + time.monotonic() - self._started, 2)

    def at(self, row: Row) -> float:
        # Checkpoints of earlier versions have no seconds for rows that were lost.
        return self._at.get(int(row["epoch"]), self._spent)

    def pass_epoch(self, row: Row) -> None:
        """Records the end of an epoch. Epochs after the last checkpoint are repeated, with the same results."""
        self._at[int(row["epoch"])] = self.now()

    def seconds_of(self, rows: Iterable[Row]) -> dict[str, float]:
        """JSON-like seconds of each epoch for a checkpoint; the last epoch may not be recorded yet."""
        return {str(epoch): self._at.get(epoch, self.now()) for epoch in sorted({int(row["epoch"]) for row in rows})}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Takes the seconds of epochs whose rows were lost from the notes of the checkpoint."""
        for epoch, at in notes.get("seconds", {}).items():
            self._at.setdefault(int(epoch), at)
        self._spent = max(self._at.values(), default=0.0)


def _rows_so_far(folder: RunFolder, display: ProgressDisplay) -> list[dict[str, float]]:
    try:
        return folder.metrics()
    except ValueError as error:
        display.say(f"metrics.jsonl is written again from the last checkpoint ({error})")
        return []
