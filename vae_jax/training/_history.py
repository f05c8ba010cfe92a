"""The metrics of the epochs of a run, what follows from them, and a run as far as it has come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vae_jax.params import Params
from vae_jax.training._step import TrainState

# "epoch", "step", "train/loss", "validation/loss", ...: the metrics of one epoch; "warm_up" is 1 in those that end
# before the objective's warm-up does, 0 in the others, and not there for an objective that has none.
Row = dict[str, float]
History = tuple[Row, ...]  # one row an epoch


class Progress(NamedTuple):
    """A run as far as it has come: what a checkpoint holds, and what `fit` returns."""

    state: TrainState  # after the last epoch
    best_params: Params  # those validated after the best epoch
    history: History

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
        return best_epoch(self.history)


def best_epoch(history: Sequence[Row]) -> int:
    """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
    finite = [row for row in history if is_finite(row)]
    best = min((row for row in finite if not row.get("warm_up")), key=lambda row: row["validation/loss"], default=None)
    return len(finite) if best is None else int(best["epoch"])


def best_loss(history: Sequence[Row]) -> float:
    """The lowest validation loss after the warm-up; infinity while there is none."""
    counted = [row for row in history if is_finite(row) and not row.get("warm_up")]
    return min((row["validation/loss"] for row in counted), default=math.inf)


def is_finished(history: Sequence[Row], epochs: int, patience: int | None) -> bool:
    """Returns whether no epoch follows: all are done, patience has run out, or the last loss was not finite."""
    done = len(history)
    if done >= epochs or (done and not is_finite(history[-1])):
        return True
    return patience is not None and done - best_epoch(history) >= patience


def is_finite(row: Row) -> bool:
    """Returns whether the training and the validation loss are finite."""
    return math.isfinite(row["train/loss"]) and math.isfinite(row["validation/loss"])
