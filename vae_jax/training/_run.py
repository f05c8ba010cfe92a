"""A run from its beginning, or from a checkpoint, to its end: epochs, metrics, saves, early stopping, divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from vae_jax.memory import check_state_fits
from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives._batch import Metrics
from vae_jax.training._divergence import BatchOf, Diverged, Divergence, Replay, explain
from vae_jax.training._epoch import make_evaluate
from vae_jax.training._history import History, Progress, best_epoch, best_loss, is_finished, is_finite
from vae_jax.training._step import Trainable, TrainStep, make_train_step
from vae_jax.training._validated_epoch import FitState, Judge, Keys, init_fit_state, make_judge
from vae_jax.training.sharding import Rules, examples_per_device, keep_shardings, place, replicated, shardings_of

T = TypeVar("T")
P = TypeVar("P")  # Progress, or EnsembleProgress
Program = Callable[[FitState], tuple[FitState, Metrics]]  # an epoch, compiled
Histories = tuple[History, ...]  # one for each model of a run


class Checkpoints(Protocol):
    """Where a fit leaves its progress; `vae_jax.training.checkpoints.OrbaxCheckpoints` writes it to a folder.

    The methods here keep it in memory only.
    """

    def restore(self, like: T) -> T | None:
        """Returns the progress that was saved, in the structure of like; None if there is none."""
        return None

    def due(self) -> bool:
        """Returns whether it is time to save; the fit then waits for the device, which it does not otherwise.

        Asked once an epoch. Of several processes all must be told the same, and have to wait for one another to be.
        """
        return False

    def save(self, progress: Any) -> None:
        """Keeps the progress of a fit."""


class _InMemory(Checkpoints):
    def save(self, progress: Any) -> None:
        pass


IN_MEMORY: Checkpoints = _InMemory()


def run_epochs(
    program: Program,
    fit_state: FitState,
    histories: Histories,
    *,
    epochs: int,
    patience: int | None,
    runs_ahead: bool,
    due: Callable[[], bool],
    save: Callable[[FitState, Histories], Any],
    on_epoch: Callable[[Histories], Any],
    settle: Callable[[FitState, Histories], FitState] = lambda fit_state, histories: fit_state,
) -> tuple[FitState, Histories]:
    """Epochs until all models are finished, each handed to the device before the metrics of the last are read.

    Args:
      program: an epoch, compiled; it takes the memory of the state that it is given, and changes nothing of a model
        that is no longer running. Its metrics are scalars, or `[M]` for M models.
      fit_state: what the device holds after the epochs of the histories.
      runs_ahead: True to hand an epoch over before it is known whether the one before was the last.
      due: returns True to save after the epoch that the device is at: then none is handed over behind it.
      save: called with the state after the histories' last epoch; also once at the end.
      on_epoch: called after every epoch, when it has been saved if it is to be.
      settle: called once, on the state after the last epoch; what it returns is saved and returned.

    Returns:
      The state and the histories at the end.
    """
    finished = lambda: all(is_finished(rows, epochs, patience) for rows in histories)
    pending, saved = None, False
    while not finished():
        saving = pending is not None and (max(map(len, histories)) + 1 >= epochs or due())
        following = None
        if pending is None or (runs_ahead and not saving):
            fit_state, following = program(fit_state)
        if pending is not None:
            histories = _with_rows(histories, jax.device_get(pending))
            # An epoch that was handed over behind the end of patience, or behind a divergence, has changed nothing.
            if finished():
                fit_state = settle(fit_state, histories)
            if saving:
                save(fit_state, histories)
            saved = saving
            on_epoch(histories)
        pending = following
    if not saved:
        save(fit_state, histories)
    return fit_state, histories


def _with_rows(histories: Histories, metrics: Metrics) -> Histories:
    rows = [{name: np.ravel(value)[i].item() for name, value in metrics.items()} for i in range(len(histories))]
    # The row of a model that is not running any more holds zeros.
    return tuple((*past, row) if row["epoch"] else past for past, row in zip(histories, rows, strict=True))


class Parts(NamedTuple):
    """Functions that the fit of one model is made of."""

    init: Callable[[jax.Array], FitState]
    step: TrainStep
    judge: Judge
    replay: Callable[[Keys, BatchOf], Replay]
    # Where a program must leave the fit state and its row: the next, the same program, takes the state from there.
    out_shardings: tuple[FitState, Any] | None


def parts_of(
    model: Trainable,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    batch_size: int,
    microbatches: int,
    patience: int | None,
    mesh: Mesh | None = None,
    rules: Rules = (),
) -> Parts:
    """The parts of a fit; num_steps are those of an epoch. It may be called inside a traced function."""
    init = lambda key: init_fit_state(model, optimizer, key)
    step, out_shardings = make_train_step(model, objective, optimizer, microbatches), None
    if mesh is not None:
        examples_per_device(batch_size, mesh)
        shardings = shardings_of(jax.eval_shape(init, jax.random.key(0)), mesh, rules)
        out_shardings = shardings, replicated(mesh)
        step = keep_shardings(step, shardings.state)
    start = jax.jit(init, out_shardings=out_shardings and out_shardings[0])
    evaluate = make_evaluate(model, objective, batch_size, mesh)
    judge = make_judge(evaluate, num_steps, warm_up_steps_of(objective), patience)

    def replay(keys: Keys, batch_of: BatchOf) -> Replay:
        first = lambda: start(keys.init).state
        return Replay(model, objective, microbatches, step, keys.train, first, batch_of, num_steps)

    return Parts(start, step, judge, replay, out_shardings)


def run_to_end(
    kind: Callable[..., P],
    init: Callable[[], FitState],
    make_program: Callable[[FitState], Program],
    replay_of: Callable[[int], Replay],
    *,
    num_models: int | None = None,
    out_shardings: tuple[FitState, Any] | None = None,
    epochs: int,
    patience: int | None,
    runs_ahead: bool = True,
    checkpoints: Checkpoints,
    on_epoch: Callable[[Any], Any],
) -> tuple[P, tuple[Divergence | None, ...]]:
    """A run from its beginning, or its checkpoint, to its end: its progress; and where and why each model diverged.

    A run that has ended, also by divergence, ends in the same way again.

    Args:
      kind: `Progress`, or `EnsembleProgress` for many models.
      init: makes the state before the first epoch.
      make_program: compiles an epoch, as `run_epochs` takes it, for a state; not called for a run that has ended.
      replay_of: index of a model -> what is needed to repeat its steps.
      num_models: the leading axis of the state's arrays; None: one model, without such an axis.
      out_shardings: of `Parts`.
    """
    own = lambda values: values if num_models is not None else values[0]
    progress = lambda fit_state, histories: kind(fit_state.state, fit_state.best_params, own(histories))
    if out_shardings is None:
        check_state_fits(jax.eval_shape(init))
    fit_state = init()
    histories: Histories = ((),) * (1 if num_models is None else num_models)
    restored: Any = checkpoints.restore(progress(fit_state, histories))
    if restored is not None:
        histories = restored.history if num_models is not None else (restored.history,)
        fit_state = FitState(
            restored.state,
            restored.best_params,
            jnp.asarray(own([jnp.float32(best_loss(rows)) for rows in histories])),
            jnp.asarray(own([jnp.int32(best_epoch(rows)) for rows in histories])),
            jnp.asarray(own([not is_finished(rows, epochs, patience) for rows in histories])),
        )
        fit_state = fit_state if out_shardings is None else place(fit_state, out_shardings[0])
    diverged: list[Divergence | None] = [None] * len(histories)

    def settle(fit_state: FitState, histories: Histories) -> FitState:
        for i, rows in enumerate(histories):
            if rows and not is_finite(rows[-1]):
                many = num_models is not None
                state = jax.tree.map(lambda leaf, i=i: leaf[i], fit_state.state) if many else fit_state.state
                state, diverged[i] = explain(replay_of(i), state, rows[-1])
                if many:
                    state = jax.tree.map(lambda leaf, new, i=i: leaf.at[i].set(new), fit_state.state, state)
                fit_state = fit_state._replace(state=state)
        return fit_state

    if all(is_finished(rows, epochs, patience) for rows in histories):
        fit_state = settle(fit_state, histories)
    else:
        fit_state, histories = run_epochs(
            make_program(fit_state),
            fit_state,
            histories,
            epochs=epochs,
            patience=patience,
            runs_ahead=runs_ahead,
            due=checkpoints.due,
            save=lambda *done: checkpoints.save(progress(*done)),
            on_epoch=lambda histories: on_epoch(own(histories)),
            settle=settle,
        )
    return progress(fit_state, histories), tuple(diverged)


def run_one(
    parts: Parts, keys: Keys, make_program: Callable[[FitState], Program], batch_of: BatchOf, **options: Any
) -> Progress:
    """The progress of one model at its end; options as `run_to_end` takes them.

    Raises:
      Diverged: as `fit`.
    """
    init, replay_of = lambda: parts.init(keys.init), lambda _: parts.replay(keys, batch_of)
    options["out_shardings"] = parts.out_shardings
    progress, (diverged,) = run_to_end(Progress, init, make_program, replay_of, **options)
    if diverged is not None:
        raise Diverged(diverged.message)
    return progress
