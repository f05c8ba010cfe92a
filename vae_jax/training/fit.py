"""The training loop: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.training.epoch import make_evaluate, make_train_epoch, steps_per_epoch
from vae_jax.training.step import TrainState, init_train_state, make_train_step

# "epoch", "step", "train/loss", "validation/loss", ...: the metrics of one epoch; "warm_up" is 1 in those that end
# before the objective's warm-up does, 0 in the others, and not there for an objective that has none.
Row = dict[str, float]


class Progress(NamedTuple):
    """A run as far as it has come: what a checkpoint holds, and what `fit` returns."""

    state: TrainState  # after the last epoch
    best_params: Params  # after the best epoch
    history: tuple[Row, ...]  # one row an epoch

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
        counted = [row for row in self.history if not row.get("warm_up")]
        if not counted:
            return len(self.history)
        return int(min(counted, key=lambda row: row["validation/loss"])["epoch"])


class Checkpoints(Protocol):
    """Where `fit` leaves its progress; `vae_jax.training.checkpoints.OrbaxCheckpoints` writes it to a folder."""

    def restore(self, like: Progress) -> Progress | None: ...

    def save(self, progress: Progress, *, final: bool) -> None: ...


class Diverged(FloatingPointError):
    """The training or validation loss is no longer finite; checkpoints of earlier epochs are untouched."""


def fit(
    model: VAE,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    train: ArrayLike,
    validation: ArrayLike,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int = 128,
    patience: int | None = None,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[Progress], Any] | None = None,
) -> Progress:
    """Trains, evaluating the validation examples after every epoch, and keeps the parameters that were best on them.

    The data goes to the device once; an epoch is one program there. Everything random follows from `key` and the step
    number, so a run that is stopped and restored from a checkpoint ends in the same bits as one that was not.

    An objective that warms up (`objectives.Scheduled`) is evaluated as it is after its warm-up. No epoch that ends
    before then counts as the best or against patience: until then the best parameters are the last. A run that is too
    short for its warm-up warns of it at the start, and ends with the parameters of its last epoch.

    Args:
      model: the model.
      objective: (model, params, key, batch) -> (loss, Aux); wrap it in `objectives.on_prepared` where the examples
        are raw pixels.
      optimizer: any optax gradient transformation.
      train: `[N, ...]` examples.
      validation: `[M, ...]` examples, held out of train.
      key: the run's key.
      epochs: passes over train, at least 1.
      batch_size: examples a step, at most N.
      patience: stop after this many epochs (since the warm-up) without a new lowest validation loss; None never stops
        early.
      checkpoints: where to save progress, and to restore it from if there is any; None keeps it in memory only.
      on_epoch: called with the progress after every epoch. Its `state` is donated to the next epoch: copy what you
        keep of it; `best_params` and `history` are yours.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError: where epochs, batch_size or patience is out of range, or validation is empty.
      Diverged: where the training or validation loss is no longer finite.
    """
    train, validation = jnp.asarray(train), jnp.asarray(validation)
    num_steps = epochs * steps_per_epoch(train.shape[0], batch_size)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if patience is not None and patience < 1:
        raise ValueError(f"patience must be at least 1 epoch (or None), got {patience}")
    if not validation.shape[0]:
        raise ValueError("validation must hold at least 1 example")
    warm_up_steps = warm_up_steps_of(objective)
    if num_steps < warm_up_steps:
        warnings.warn(
            f"the objective's warm-up takes {warm_up_steps} steps, and this run ends before it, after {num_steps} "
            f"({epochs} epochs of {num_steps // epochs}): no epoch counts as the best or stops the run early, and the "
            "parameters of the last are kept; train for more epochs, or warm up in fewer steps",
            stacklevel=2,
        )

    init_key, train_key, validation_key = jax.random.split(key, 3)
    state = jax.jit(lambda k: init_train_state(model, optimizer, k))(init_key)
    progress = Progress(state, jax.tree.map(jnp.copy, state.params), ())
    if checkpoints is not None:
        progress = checkpoints.restore(progress) or progress
    train_epoch = make_train_epoch(make_train_step(model, objective, optimizer), batch_size)
    evaluate = make_evaluate(model, objective, batch_size)

    while not _finished(progress, epochs, patience):
        state, train_metrics = train_epoch(progress.state, train_key, train)
        # One key for every epoch: the same noise and bits each time, so that epochs differ by the parameters alone.
        validation_metrics = evaluate(state.params, validation_key, validation)
        row: Row = {"epoch": len(progress.history) + 1, "step": int(state.step)}
        if warm_up_steps:
            row["warm_up"] = float(row["step"] < warm_up_steps)
        row |= {f"train/{name}": float(value) for name, value in train_metrics.items()}
        row |= {f"validation/{name}": float(value) for name, value in validation_metrics.items()}
        if not (math.isfinite(row["train/loss"]) and math.isfinite(row["validation/loss"])):
            raise Diverged(
                f"the loss is not finite after epoch {row['epoch']} (train {row['train/loss']}, validation "
                f"{row['validation/loss']}): lower the learning rate, or look for extreme values in the data"
            )
        progress = Progress(state, progress.best_params, (*progress.history, row))
        if progress.best_epoch == row["epoch"]:
            # A copy: the next epoch donates the state's own buffers.
            progress = progress._replace(best_params=jax.tree.map(jnp.copy, state.params))
        if checkpoints is not None:
            checkpoints.save(progress, final=_finished(progress, epochs, patience))
        if on_epoch is not None:
            on_epoch(progress)
    return progress


def _finished(progress: Progress, epochs: int, patience: int | None) -> bool:
    done = len(progress.history)
    return done >= epochs or (patience is not None and done - progress.best_epoch >= patience)
