"""Loop of a run, from its beginning or a checkpoint to its end: epochs, checkpoints, early stopping, divergence."""

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
Program = Callable[[FitState], tuple[FitState, Metrics]]  # a compiled epoch
Histories = tuple[History, ...]  # one for each model of a run


class Checkpoints:
    """Base class of checkpoints, which saves nothing; `training.checkpoints.OrbaxCheckpoints` saves to a folder."""

    def restore(self, like: T) -> T | None:
        """Returns the saved progress in the structure of `like`, or None if nothing was saved."""
        return None

    def due(self) -> bool:
        """Returns True if it is time to save; only then does the fit wait for the device.

        Called once per epoch. All processes of a run must agree on the value, for which they wait for one another.
        """
        return False

    def save(self, progress: Any) -> None:
        """Saves the progress of a fit."""


IN_MEMORY = Checkpoints()


class Loop(NamedTuple):
    """Settings of the loop over epochs, as `fit` takes them."""

    epochs: int
    patience: int | None
    checkpoints: Checkpoints
    on_epoch: Callable[[Any], Any]  # called with the history of a single model, or with the histories of all models
    runs_ahead: bool = True  # dispatch an epoch before the previous epoch's metrics show that training has ended

    def is_finished(self, histories: Histories) -> bool:
        """Returns True if training has ended for all models."""
        return all(is_finished(rows, self.epochs, self.patience) for rows in histories)


def run_epochs(
    program: Program,
    fit_state: FitState,
    histories: Histories,
    loop: Loop,
    progress: Callable[[FitState, Histories], Any],
    finalize: Callable[[FitState, Histories], FitState] = lambda fit_state, histories: fit_state,
) -> tuple[FitState, Histories]:
    """Runs epochs until all models are finished, each dispatched before the metrics of the previous epoch are read.

    Args:
      program: a compiled epoch; the state is donated to it, and it leaves a model unchanged that is no longer running.
        Its metrics are scalars, or `[M]` for M models.
      fit_state: the state on the device after the epochs of histories.
      histories: the history of each model.
      loop: settings; if an epoch is to be saved, that is done before the next is dispatched, and `on_epoch` is called
        after that.
      progress: (state, histories) -> the progress that is saved, whose history is passed to `on_epoch`.
      finalize: called once with the state after the last epoch; its return value is saved and returned.

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
            # An epoch that was dispatched after early stopping, or after a divergence, has changed nothing.
            if loop.is_finished(histories):
                fit_state = finalize(fit_state, histories)
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
    # The row of a model that is no longer running holds zeros.
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
    """Runs from the beginning or a checkpoint to the end; returns the progress, and each model's divergence or None.

    A run that has already ended, even by divergence, returns the same result again.

    Args:
      kind: `Progress`, or `EnsembleProgress` for many models.
      init: makes the state before the first epoch.
      make_program: state -> compiled epoch, as `run_epochs` takes it; not called for a run that has ended.
      replay_of: index of a model -> `Replay` of its steps.
      loop: settings of the loop.
      num_models: size of the leading axis of the state's arrays; None: one model, without this axis.
      out_shardings: `Plan.out_shardings`.
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
        per_model = lambda function, dtype: jnp.asarray(own([dtype(function(rows)) for rows in histories]))
        best = per_model(best_loss, jnp.float32), per_model(best_epoch, jnp.int32)
        running = per_model(lambda rows: not loop.is_finished((rows,)), bool)
        fit_state = FitState(restored.state, restored.best_params, *best, running)
        fit_state = fit_state if out_shardings is None else place(fit_state, out_shardings[0])
    diverged: list[Divergence | None] = [None] * len(histories)

    def explain_divergences(fit_state: FitState, histories: Histories) -> FitState:
        for i, rows in enumerate(histories):
            if rows and not is_finite(rows[-1]):
                state = jax.tree.map(lambda leaf, i=i: leaf[i], fit_state.state) if many else fit_state.state
                state, diverged[i] = explain(replay_of(i), state, rows[-1])
                if many:
                    state = jax.tree.map(lambda leaf, new, i=i: leaf.at[i].set(new), fit_state.state, state)
                fit_state = fit_state._replace(state=state)
        return fit_state

    if loop.is_finished(histories):
        fit_state = explain_divergences(fit_state, histories)
    else:
        program = make_program(fit_state)
        fit_state, histories = run_epochs(program, fit_state, histories, loop, progress, explain_divergences)
    return progress(fit_state, histories), tuple(diverged)


def run_one(
    plan: Plan, keys: Keys, make_program: Callable[[FitState], Program], batch_of: BatchOf, loop: Loop
) -> Progress:
    """Runs one model to its end with `run_to_end`; returns its progress.

    Raises:
      Diverged: as `fit`.
    """
    init, replay_of = lambda: plan.init(keys.init), lambda _: Replay(plan, keys, batch_of)
    shardings = plan.out_shardings
    progress, (diverged,) = run_to_end(Progress, init, make_program, replay_of, loop, out_shardings=shardings)
    if diverged is not None:
        raise Diverged(diverged.message)
    return progress
