"""Training in a run folder: begun there, continued from its last checkpoint, or found finished."""

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
    seconds: Callable[[], float]  # seconds of the run so far, over all processes that worked on it
    seconds_to_first_step: float | None  # since the command began; None if the run was found finished


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
    """Runs a fit with its checkpoints and `metrics.jsonl` in the folder; a second call continues it.

    Args:
      folder: folder of the run; it holds the configuration already.
      config: JSON-like, saved in the checkpoints and compared with what they were made with.
      display: shows every epoch.
      key: the run's, saved in the checkpoints and compared.
      started: `time.monotonic()` when this process began to work on the run.
      begin: `fit` or `fit_ensemble` with all but its checkpoints, on_start and on_epoch.
      rows_of: the rows of a history, of all models.
      log: makes the logger of the rows beside `metrics.jsonl`.
      changeable: fields of config that may differ from those of the checkpoint.
      upgrade: config that an earlier version saved -> as this version writes it.

    Raises:
      Damaged: the folder has lost its checkpoints, or none of them is whole.
      Interrupted: a signal asked the run to end; it is saved.
      OSError: the folder cannot be written to.
    """
    check_not_lost(folder)
    if newest(folder.checkpoints) is None and not folder.made_here:
        display.say("the run was stopped before its first checkpoint: it begins again at epoch 1")
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
        lines: list[str] = []  # of metrics.jsonl: a row is turned into JSON once, for runs may have thousands

        def on_start() -> None:
            clock.recall(checkpoints.restored_notes)
            first_step.append(round(seconds_since_start(), 2))
            display.say(f"first step {first_step[0]:.1f} s after the command began")
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
                    logger.log(whole)  # which may have missed some
            complete = True
        finally:
            logger.close(complete)
        signals.end()
    return Training(progress, checkpoints, clock.now, first_step[0] if first_step else None)


class _Clock:
    """Seconds that a run has taken, over all processes that worked on it, at the end of each epoch.

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
        # A checkpoint of an earlier version keeps no seconds of rows that were lost.
        return self._at.get(int(row["epoch"]), self._spent)

    def pass_epoch(self, row: Row) -> None:
        """Records that an epoch has ended. Epochs after the last checkpoint are repeated, with the same bits."""
        self._at[int(row["epoch"])] = self.now()

    def seconds_of(self, rows: Iterable[Row]) -> dict[str, float]:
        """The seconds of each epoch, JSON-like, to be kept in a checkpoint; the last may be ending just now."""
        return {str(epoch): self._at.get(epoch, self.now()) for epoch in sorted({int(row["epoch"]) for row in rows})}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Takes the epochs whose rows were lost from the notes of the checkpoint."""
        for epoch, at in notes.get("seconds", {}).items():
            self._at.setdefault(int(epoch), at)
        self._spent = max(self._at.values(), default=0.0)


def _rows_so_far(folder: RunFolder, display: ProgressDisplay) -> list[dict[str, float]]:
    try:
        return folder.metrics()
    except ValueError as error:
        display.say(f"metrics.jsonl is written anew from the last checkpoint ({error})")
        return []
