"""A run from its beginning, or from a checkpoint, to its end: epochs, metrics, saves, early stopping, divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.training._divergence import BatchOf, Diverged, Divergence, Replay, explain
from vae_jax.training._epoch import Evaluate, make_evaluate
from vae_jax.training._history import History, Progress, best_epoch, best_loss, is_finished, is_finite, row_of
from vae_jax.training._memory import check_state_fits
from vae_jax.training._step import Trainable, TrainStep, make_train_step
from vae_jax.training._validated_epoch import FitState, Keys, init_fit_state, split_key
from vae_jax.training.sharding import Rules, examples_per_device, keep_shardings, place, replicated, shardings_of

T = TypeVar("T")
Program = Callable[[FitState], tuple[FitState, Metrics]]  # an epoch, compiled


class Checkpoints(Protocol):
    """Where a fit leaves its progress; `vae_jax.training.checkpoints.OrbaxCheckpoints` writes it to a folder."""

    def restore(self, like: T) -> T | None: ...

    def due(self) -> bool:
        """Returns whether it is time to save; the fit then waits for the device, which it does not otherwise.

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


def run_epochs(
    program: Program,
    fit_state: FitState,
    history: T,
    *,
    add: Callable[[T, Metrics], T],
    runs_ahead: bool,
    last: Callable[[T], bool],
    finished: Callable[[T], bool],
    due: Callable[[], bool],
    save: Callable[[FitState, T], Any],
    on_epoch: Callable[[T], Any],
    settle: Callable[[FitState, T], FitState] = lambda fit_state, history: fit_state,
) -> tuple[FitState, T]:
    """Epochs until the history is finished, each handed to the device before the metrics of the one before are read.

    Args:
      program: an epoch, compiled; it takes the memory of the state that it is given, and changes nothing where that
        is no longer running.
      fit_state: what the device holds after the epochs of the history.
      history: of the epochs so far.
      add: (history, metrics on the host) -> history.
      runs_ahead: whether to hand an epoch over before it is known whether the one before was the last.
      last: whether the epoch after this history is the last there can be: then none is handed over behind it.
      finished: whether the fit is over.
      due: whether to save after the epoch that the device is at: then none is handed over behind it either.
      save: of the state after the history's last epoch. Also called once at the end.
      on_epoch: called after every epoch, when it has been saved if it is to be.
      settle: called once, on the state after the last epoch; what it returns is saved and returned.

    Returns:
      The state and the history at the end.
    """
    pending, saved = None, False
    while not finished(history):
        saving = pending is not None and (last(history) or due())
        following = None
        if pending is None or (runs_ahead and not saving):
            fit_state, following = program(fit_state)
        if pending is not None:
            history = add(history, jax.device_get(pending))
            # An epoch that was handed over behind the end of patience, or behind a divergence, has changed nothing.
            if finished(history):
                fit_state = settle(fit_state, history)
            if saving:
                save(fit_state, history)
            saved = saving
            on_epoch(history)
        pending = following
    if not saved:
        save(fit_state, history)
    return fit_state, history


class Run(NamedTuple):
    """A fit before its next epoch: the functions that it is made of, and how far it has come."""

    model: Trainable
    objective: Objective
    microbatches: int
    keys: Keys
    init: Callable[[jax.Array], FitState]
    step: TrainStep
    evaluate: Evaluate
    fit_state: FitState
    progress: Progress
    everywhere: Callable[[Any], Any]  # puts arrays on every device of the mesh
    # Where a program must leave the fit state and its row: the next, the same program, takes the state from there.
    out_shardings: tuple[Any, Any] | None


def begin(
    model: Trainable,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    batch_size: int,
    microbatches: int,
    mesh: Mesh | None,
    rules: Rules,
    checkpoints: Checkpoints,
) -> Run:
    """A run begun or restored; arguments as `fit` takes them."""
    keys, step = split_key(key), make_train_step(model, objective, optimizer, microbatches)
    init = jax.jit(lambda k: init_fit_state(model, optimizer, k))
    everywhere, out_shardings = lambda tree: tree, None
    if mesh is None:
        check_state_fits(jax.eval_shape(init, keys.init))
    else:
        examples_per_device(batch_size, mesh)
        everywhere = lambda tree: place(tree, replicated(mesh))
        shardings = shardings_of(jax.eval_shape(init, keys.init), mesh, rules)
        out_shardings = shardings, replicated(mesh)
        init = jax.jit(init, out_shardings=shardings)
        step = keep_shardings(step, shardings.state)
    keys = everywhere(keys)
    fit_state = init(keys.init)
    progress = _progress(fit_state, ())
    restored = checkpoints.restore(progress)
    if restored is not None:
        progress, fit_state = restored, _fit_state(restored)
        fit_state = fit_state if out_shardings is None else place(fit_state, out_shardings[0])
    evaluate = make_evaluate(model, objective, batch_size, mesh)
    return Run(
        model, objective, microbatches, keys, init, step, evaluate, fit_state, progress, everywhere, out_shardings
    )


def run_to_end(
    make_program: Callable[[], Program],
    run: Run,
    *,
    batch_of: BatchOf,
    steps_per_epoch: int,
    epochs: int,
    patience: int | None,
    runs_ahead: bool,
    checkpoints: Checkpoints,
    on_epoch: Callable[[History], Any],
) -> Progress:
    """The epochs of a run that has begun.

    Args:
      make_program: compiles an epoch, as `run_epochs` takes it; not called for a run that has ended.
      run: the state to continue from; a run that has ended, also by divergence, ends in the same way again.
      batch_of: (step, from 0) -> its batch, and the index of each of its examples in the data if that is known.
      steps_per_epoch: of the data.
      epochs, patience, checkpoints, on_epoch: as `fit` takes them.
      runs_ahead: True if an epoch may be handed to the device before it is known that the one before was not the last.

    Raises:
      Diverged: as `fit`.
    """
    diverged: list[Divergence] = []

    def settle(fit_state: FitState, history: History) -> FitState:
        if not history or is_finite(history[-1]):
            return fit_state
        init = lambda: run.init(run.keys.init).state
        replay = Replay(
            run.model, run.objective, run.microbatches, run.step, run.keys.train, init, batch_of, steps_per_epoch
        )
        state, divergence = explain(replay, fit_state.state, history[-1])
        diverged.append(divergence)
        return fit_state._replace(state=state)

    progress = run.progress
    if is_finished(progress.history, epochs, patience):
        settle(run.fit_state, progress.history)
    else:
        fit_state, history = run_epochs(
            make_program(),
            run.fit_state,
            progress.history,
            add=lambda history, metrics: (*history, row_of(metrics)),
            runs_ahead=runs_ahead,
            last=lambda history: len(history) + 1 >= epochs,
            finished=lambda history: is_finished(history, epochs, patience),
            due=checkpoints.due,
            save=lambda *done: checkpoints.save(_progress(*done)),
            on_epoch=on_epoch,
            settle=settle,
        )
        progress = _progress(fit_state, history)
    if diverged:
        raise Diverged(diverged[0].message)
    return progress


def _progress(fit_state: FitState, history: History) -> Progress:
    return Progress(fit_state.state, fit_state.best_params, history)


def _fit_state(progress: Progress) -> FitState:
    history = progress.history
    return FitState(
        progress.state,
        progress.best_params,
        jnp.float32(best_loss(history)),
        jnp.int32(best_epoch(history)),
        jnp.bool_(True),
    )
