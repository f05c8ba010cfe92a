"""A run from its beginning, or from a checkpoint, to its end: epochs, metrics, saves, early stopping, divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.memory import check_state_fits
from vae_jax.objectives._batch import Metrics
from vae_jax.training._divergence import BatchOf, Diverged, Divergence, Replay, explain
from vae_jax.training._history import History, Progress, best_epoch, best_loss, is_finished, is_finite
from vae_jax.training._plan import FitState, Keys, Plan
from vae_jax.training.sharding import place

T = TypeVar("T")
P = TypeVar("P")  # Progress, or EnsembleProgress
Program = Callable[[FitState], tuple[FitState, Metrics]]  # an epoch, compiled
Histories = tuple[History, ...]  # one for each model of a run


class Checkpoints:
    """Keeps no progress of a fit; derive a class that does, as `training.checkpoints.OrbaxCheckpoints` does."""

    def restore(self, like: T) -> T | None:
        """Returns the progress that was saved, in the structure of like; None if there is none."""
        return None

    def due(self) -> bool:
        """Returns whether it is time to save; the fit then waits for the device, which it does not otherwise.

        Asked once an epoch. Of several processes all must be told the same, and have to wait for one another to be.
        """
        return False

    def save(self, progress: Any) -> None:
        """Takes the progress of a fit."""


IN_MEMORY = Checkpoints()


class Loop(NamedTuple):
    """When a run ends, and what it saves and tells on the way, as `fit` takes them."""

    epochs: int
    patience: int | None
    checkpoints: Checkpoints
    on_epoch: Callable[[Any], Any]  # called with the history of the one model, or with those of all
    runs_ahead: bool = True  # an epoch is handed to the device before it is known whether the one before was the last

    def is_finished(self, histories: Histories) -> bool:
        """Returns whether no epoch follows for any model."""
        return all(is_finished(rows, self.epochs, self.patience) for rows in histories)


def run_epochs(
    program: Program,
    fit_state: FitState,
    histories: Histories,
    loop: Loop,
    progress: Callable[[FitState, Histories], Any],
    settle: Callable[[FitState, Histories], FitState] = lambda fit_state, histories: fit_state,
) -> tuple[FitState, Histories]:
    """Epochs until all models are finished, each handed to the device before the metrics of the last are read.

    Args:
      program: an epoch, compiled; it takes the memory of the state that it is given, and changes nothing of a model
        that is no longer running. Its metrics are scalars, or `[M]` for M models.
      fit_state, histories: the state that the device holds after these epochs.
      loop: an epoch that is to be saved is saved before the next is handed over; `on_epoch` is called after that.
      progress: (state, histories) -> what is saved; `on_epoch` is given its history.
      settle: called once, on the state after the last epoch; what it returns is saved and returned.

    Returns:
      The state and the histories at the end.
    """
    pending, saved = None, False
    while not loop.is_finished(histories):
        saving = pending is not None and (max(map(len, histories)) + 1 >= loop.epochs or loop.checkpoints.due())
        following = None
        if pending is None or (loop.runs_ahead and not saving):
            fit_state, following = program(fit_state)
        if pending is not None:
            histories = _with_rows(histories, jax.device_get(pending))
            # An epoch that was handed over behind the end of patience, or behind a divergence, has changed nothing.
            if loop.is_finished(histories):
                fit_state = settle(fit_state, histories)
            if saving:
                loop.checkpoints.save(progress(fit_state, histories))
            saved = saving
            loop.on_epoch(progress(fit_state, histories).history)
        pending = following
    if not saved:
        loop.checkpoints.save(progress(fit_state, histories))
    return fit_state, histories


def _with_rows(histories: Histories, metrics: Metrics) -> Histories:
    rows = [{name: np.ravel(value)[i].item() for name, value in metrics.items()} for i in range(len(histories))]
    # The row of a model that is not running any more holds zeros.
    return tuple((*past, row) if row["epoch"] else past for past, row in zip(histories, rows, strict=True))


def run_to_end(
    kind: Callable[..., P],
    init: Callable[[], FitState],
    make_program: Callable[[FitState], Program],
    replay_of: Callable[[int], Replay],
    loop: Loop,
    *,
    num_models: int | None = None,
    out_shardings: tuple[FitState, Any] | None = None,
) -> tuple[P, tuple[Divergence | None, ...]]:
    """A run from its beginning, or its checkpoint, to its end: its progress; and where and why each model diverged.

    A run that has ended, also by divergence, ends in the same way again.

    Args:
      kind: `Progress`, or `EnsembleProgress` for many models.
      init: makes the state before the first epoch.
      make_program: compiles an epoch, as `run_epochs` takes it, for a state; not called for a run that has ended.
      replay_of: index of a model -> what is needed to repeat its steps.
      num_models: the leading axis of the state's arrays; None: one model, without such an axis.
      out_shardings: of `Plan`.
    """
    many = num_models is not None
    own = lambda values: values if many else values[0]
    progress = lambda fit_state, histories: kind(fit_state.state, fit_state.best_params, own(histories))
    if out_shardings is None:
        check_state_fits(jax.eval_shape(init))
    fit_state = init()
    histories: Histories = ((),) * (num_models or 1)
    restored: Any = loop.checkpoints.restore(progress(fit_state, histories))
    if restored is not None:
        histories = restored.history if many else (restored.history,)
        of_each = lambda function, dtype: jnp.asarray(own([dtype(function(rows)) for rows in histories]))
        best = of_each(best_loss, jnp.float32), of_each(best_epoch, jnp.int32)
        running = of_each(lambda rows: not loop.is_finished((rows,)), bool)
        fit_state = FitState(restored.state, restored.best_params, *best, running)
        fit_state = fit_state if out_shardings is None else place(fit_state, out_shardings[0])
    diverged: list[Divergence | None] = [None] * len(histories)

    def settle(fit_state: FitState, histories: Histories) -> FitState:
        for i, rows in enumerate(histories):
            if rows and not is_finite(rows[-1]):
                state = jax.tree.map(lambda leaf, i=i: leaf[i], fit_state.state) if many else fit_state.state
                state, diverged[i] = explain(replay_of(i), state, rows[-1])
                if many:
                    state = jax.tree.map(lambda leaf, new, i=i: leaf.at[i].set(new), fit_state.state, state)
                fit_state = fit_state._replace(state=state)
        return fit_state

    if loop.is_finished(histories):
        fit_state = settle(fit_state, histories)
    else:
        fit_state, histories = run_epochs(make_program(fit_state), fit_state, histories, loop, progress, settle)
    return progress(fit_state, histories), tuple(diverged)


def run_one(
    plan: Plan, keys: Keys, make_program: Callable[[FitState], Program], batch_of: BatchOf, loop: Loop
) -> Progress:
    """The progress of one model at its end, as `run_to_end` makes it.

    Raises:
      Diverged: as `fit`.
    """
    init, replay_of = lambda: plan.init(keys.init), lambda _: Replay(plan, keys, batch_of)
    shardings = plan.out_shardings
    progress, (diverged,) = run_to_end(Progress, init, make_program, replay_of, loop, out_shardings=shardings)
    if diverged is not None:
        raise Diverged(diverged.message)
    return progress
