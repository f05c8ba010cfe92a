"""The loop around the epochs of a fit, of one model or of many: reading metrics, checkpoints, the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import jax

from vae_jax.objectives._batch import Metrics
from vae_jax.training._fitting import Fitting

# "epoch", "step", "train/loss", "validation/loss", ...: the metrics of one epoch; "warm_up" is 1 in those that end
# before the objective's warm-up does, 0 in the others, and not there for an objective that has none.
Row = dict[str, float]
History = tuple[Row, ...]  # one row an epoch
T = TypeVar("T")


class Checkpoints(Protocol):
    """Where a fit leaves its progress; `vae_jax.training.checkpoints.OrbaxCheckpoints` writes it to a folder."""

    def restore(self, like: T) -> T | None: ...

    def due(self) -> bool:
        """Whether it is time to save; the fit then waits for the device, which it does not otherwise.

        Asked once an epoch. Of several processes all must be told the same, and have to wait for one another to be.
        """
        ...

    def save(self, progress: Any) -> None: ...


class _InMemory:
    """Progress in memory only."""

    def restore(self, like: T) -> T | None:
        return None

    def due(self) -> bool:
        return False

    def save(self, progress: Any) -> None:
        pass


IN_MEMORY: Checkpoints = _InMemory()


def best_epoch(history: Sequence[Row]) -> int:
    """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
    finite = [row for row in history if is_finite(row)]
    counted = [row for row in finite if not row.get("warm_up")]
    if not counted:
        return len(finite)
    return int(min(counted, key=lambda row: row["validation/loss"])["epoch"])


def best_loss(history: Sequence[Row]) -> float:
    """The lowest validation loss after the warm-up; infinity while there is none."""
    counted = [row for row in history if is_finite(row) and not row.get("warm_up")]
    return min((row["validation/loss"] for row in counted), default=math.inf)


def row_of(metrics: Metrics) -> Row:
    """The metrics of one epoch as Python's numbers."""
    return {name: value.item() for name, value in metrics.items()}


def is_finished(history: Sequence[Row], epochs: int, patience: int | None) -> bool:
    """Whether no epoch follows: all are done, patience has run out, or the last loss was not finite."""
    done = len(history)
    if done >= epochs or (done and not is_finite(history[-1])):
        return True
    return patience is not None and done - best_epoch(history) >= patience


def is_finite(row: Row) -> bool:
    return math.isfinite(row["train/loss"]) and math.isfinite(row["validation/loss"])


def run_epochs(
    program: Callable[[Fitting], tuple[Fitting, Metrics]],
    fitting: Fitting,
    history: T,
    *,
    add: Callable[[T, Metrics], T],
    runs_ahead: bool,
    last: Callable[[T], bool],
    finished: Callable[[T], bool],
    due: Callable[[], bool],
    save: Callable[[Fitting, T], Any],
    on_epoch: Callable[[T], Any],
    settle: Callable[[Fitting, T], Fitting] = lambda fitting, history: fitting,
) -> tuple[Fitting, T]:
    """Epochs until the history is finished, each handed to the device before the metrics of the one before are read.

    Args:
      program: an epoch, compiled; it takes the memory of the fitting that it is given, and changes nothing where that
        is no longer running.
      fitting: what the device holds after the epochs of the history.
      history: of the epochs so far.
      add: (history, metrics on the host) -> history.
      runs_ahead: whether to hand an epoch over before it is known whether the one before was the last.
      last: whether the epoch after this history is the last there can be: then none is handed over behind it.
      finished: whether the fit is over.
      due: whether to save after the epoch that the device is at: then none is handed over behind it either.
      save: of the fitting after the history's last epoch. Also called once at the end.
      on_epoch: called after every epoch, when it has been saved if it is to be.
      settle: called once, on the fitting after the last epoch; what it returns is saved and returned.

    Returns:
      The fitting and the history at the end.
    """
    pending, saved = None, False
    while not finished(history):
        saving = pending is not None and (last(history) or due())
        following = None
        if pending is None or (runs_ahead and not saving):
            fitting, following = program(fitting)
        if pending is not None:
            history = add(history, jax.device_get(pending))
            # An epoch that was handed over behind the end of patience, or behind a divergence, has changed nothing.
            if finished(history):
                fitting = settle(fitting, history)
            if saving:
                save(fitting, history)
            saved = saving
            on_epoch(history)
        pending = following
    if not saved:
        save(fitting, history)
    return fitting, history
