"""Progress of a run, and the history of its metrics: the best epoch, and the end of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vae_jax.params import Params
from vae_jax.training._step import TrainState

# The metrics of one epoch: "epoch", "step", "train/loss", "validation/loss", ... "warm_up" is 1 if the epoch ends
# during the objective's warm-up and 0 if not; it is absent for an objective without a warm-up.
Row = dict[str, float]
History = tuple[Row, ...]  # one row per epoch


class Progress(NamedTuple):
    """Progress of a run: the contents of a checkpoint, and the return value of `fit`."""

    state: TrainState  # after the last epoch
    best_params: Params  # parameters validated after the best epoch
    history: History

    @property
    def best_epoch(self) -> int:
        """Epoch (from 1) with the lowest validation loss after the warm-up; during it, the last epoch (0: none)."""
        return best_epoch(self.history)


def best_epoch(history: Sequence[Row]) -> int:
    """Epoch (from 1) with the lowest validation loss after the warm-up; during it, the last epoch (0: none)."""
    finite = [row for row in history if is_finite(row)]
    best = min((row for row in finite if not row.get("warm_up")), key=lambda row: row["validation/loss"], default=None)
    return len(finite) if best is None else int(best["epoch"])


def best_loss(history: Sequence[Row]) -> float:
    """Lowest validation loss after the warm-up; infinity if no epoch has ended after the warm-up."""
    candidates = [row for row in history if is_finite(row) and not row.get("warm_up")]
    return min((row["validation/loss"] for row in candidates), default=math.inf)


def is_finished(history: Sequence[Row], epochs: int, patience: int | None) -> bool:
    """Returns True if training has ended: after all epochs, by early stopping, or with a loss that is not finite."""
    done = len(history)
    if done >= epochs or (done and not is_finite(history[-1])):
        return True
    return patience is not None and done - best_epoch(history) >= patience


def is_finite(row: Row) -> bool:
    """Returns True if the training and the validation loss are finite."""
    return math.isfinite(row["train/loss"]) and math.isfinite(row["validation/loss"])
