"""Training in a run folder: begun there, continued from its last checkpoint, or found finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import jax

from vae_jax.checksums import Damaged
from vae_jax.experiment.environment import seconds_since_start
from vae_jax.experiment.loggers import MakeLogger, no_logger
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.stopping import stopping
from vae_jax.runs import RunFolder, defined
from vae_jax.training import Row
from vae_jax.training.checkpoints import OrbaxCheckpoints, newest
from vae_jax.training.processes import is_writer

ProgressT = TypeVar("ProgressT")  # Progress, or EnsembleProgress


class Training(NamedTuple, Generic[ProgressT]):
    """What `train_in_folder` leaves."""

    progress: ProgressT
    checkpoints: OrbaxCheckpoints
    seconds: Callable[[], float]  # that the run has taken by now, over all processes that worked on it
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
) -> Training[ProgressT]:
    """A fit, with its checkpoints and `metrics.jsonl` in the folder; the same call again goes on where it stopped.

    Args:
      folder: of this run; it holds the configuration already.
      config: JSON-like, saved in the checkpoints and compared with what they were made with.
      display: shows every epoch.
      key: the run's, saved in the checkpoints and compared.
      started: `time.monotonic()` when this process began to work on the run.
      begin: `fit` or `fit_ensemble` with all but its checkpoints, on_start and on_epoch.
      rows_of: the rows of a history, of all models.
      log: where the rows go beside `metrics.jsonl`.
      changeable: fields of config that may differ from those of the checkpoint.

    Raises:
      Damaged: the folder has lost its checkpoints, or none of them is whole.
      Interrupted: a signal asked the run to end; it is saved.
      OSError: the folder cannot be written to.
    """
    _check_not_lost(folder, display)
    about = folder.about()
    rows = _rows_so_far(folder, display)
    seconds_at: dict[int, float] = {int(row["epoch"]): row["seconds"] for row in rows}
    spent = max(seconds_at.values(), default=0.0)
    first_step: list[float] = []

    def seconds() -> float:
        return round(spent + time.monotonic() - started, 2)

    def recall() -> None:
        """Takes the seconds of epochs whose rows are lost from the checkpoint, once it is restored."""
        nonlocal spent
        for epoch, at in checkpoints.restored_notes.get("seconds", {}).items():
            seconds_at.setdefault(int(epoch), at)
        spent = max(seconds_at.values(), default=0.0)

    def on_start() -> None:
        recall()
        first_step.append(round(seconds_since_start(), 2))
        display.say(f"first step {first_step[0]:.1f} s after the command began")
        signals.begin()

    def sorted_rows(history: Any) -> list[Row]:
        return sorted(rows_of(history), key=lambda row: row["epoch"])

    def notes(progress: Any) -> dict[str, Any]:
        epochs = sorted({int(row["epoch"]) for row in rows_of(progress.history)})
        return {"seconds": {str(epoch): seconds_at.get(epoch, seconds()) for epoch in epochs}, "about": about}

    def write_rows(history: list[Row]) -> None:
        if is_writer():
            folder.write_metrics([defined(row) | {"seconds": seconds_at[int(row["epoch"])]} for row in history])
            logger.log(history)

    def on_epoch(history: Any) -> None:
        rows = sorted_rows(history)
        # Epochs after the last checkpoint are done again, in the same bits.
        seconds_at[int(rows[-1]["epoch"])] = seconds()
        write_rows(rows)
        display.show([row for row in rows if row["epoch"] == rows[-1]["epoch"]])
        if checkpoints.stopping:
            signals.end()

    logger = (log if is_writer() else no_logger)(folder, config)
    with stopping(display.say) as signals:
        checkpoints = OrbaxCheckpoints(
            folder.checkpoints, key, config, changeable=changeable, notes=notes, stop=signals.asked, say=display.say
        )
        try:
            progress = begin(checkpoints=checkpoints, on_start=on_start, on_epoch=on_epoch)
            if not first_step:
                recall()
                whole = sorted_rows(progress.history)
                # A process that is killed right after its last save has not written its last row.
                if [row["epoch"] for row in rows] != [row["epoch"] for row in whole]:
                    write_rows(whole)
        finally:
            logger.close()
        signals.end()
    return Training(progress, checkpoints, seconds, first_step[0] if first_step else None)


def _check_not_lost(folder: RunFolder, display: ProgressDisplay) -> None:
    """Stops, or says so, before a run that has been trained begins at its first epoch again."""
    if newest(folder.checkpoints) is not None:
        return
    # The first epoch is saved before its row is written.
    if folder.has_been_trained():
        raise Damaged(
            f"{folder.argument} {folder.path}: its checkpoints are gone ({folder.checkpoints} holds none), so that it "
            "cannot go on; put them back, or begin a new run in another folder with the settings in config.json"
        )
    if not folder.made_here:
        display.say("the run was stopped before its first checkpoint: it begins again at epoch 1")


def _rows_so_far(folder: RunFolder, display: ProgressDisplay) -> list[dict[str, float]]:
    try:
        return folder.metrics()
    except ValueError as error:
        display.say(f"metrics.jsonl is written anew from the last checkpoint ({error})")
        return []
