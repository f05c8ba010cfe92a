"""A run from its beginning, or from a checkpoint, to its end: epochs, metrics, saves, early stopping, divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives._batch import Metrics
from vae_jax.training._divergence import BatchOf, Diverged, Divergence, Replay, explain
from vae_jax.training._epoch import make_evaluate
from vae_jax.training._history import History, Progress, best_epoch, best_loss, is_finished, is_finite
from vae_jax.training._memory import check_state_fits
from vae_jax.training._step import Trainable, TrainState, TrainStep, make_train_step
from vae_jax.training._validated_epoch import FitState, Judge, Keys, init_fit_state, make_judge, split_key
from vae_jax.training.sharding import Rules, examples_per_device, keep_shardings, place, replicated, shardings_of

T = TypeVar("T")
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
      histories: of the epochs so far.
      epochs, patience: as `fit` takes them.
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


def run_to_end(
    make_program: Callable[[], Program],
    fit_state: FitState,
    histories: Histories,
    replay_of: Callable[[int], Replay],
    *,
    many: bool,
    epochs: int,
    patience: int | None,
    runs_ahead: bool,
    checkpoints: Checkpoints,
    save: Callable[[FitState, Histories], Any],
    on_epoch: Callable[[Histories], Any],
) -> tuple[FitState, Histories, list[Divergence | None]]:
    """The epochs of a run of one model or of many; returns also where and why each model diverged.

    Args:
      make_program: compiles an epoch, as `run_epochs` takes it; not called for a run that has ended.
      fit_state, histories: to continue from; a run that has ended, also by divergence, ends in the same way again.
      replay_of: index of a model -> what is needed to repeat its steps.
      many: True if the arrays of the state have a leading axis, one entry for each model.
      epochs, patience, checkpoints: as `fit` takes them.
      runs_ahead, save, on_epoch: as `run_epochs` takes them.
    """
    diverged: list[Divergence | None] = [None] * len(histories)

    def settle(fit_state: FitState, histories: Histories) -> FitState:
        for i, rows in enumerate(histories):
            if rows and not is_finite(rows[-1]):
                own = jax.tree.map(lambda leaf, i=i: leaf[i], fit_state.state) if many else fit_state.state
                state, diverged[i] = explain(replay_of(i), own, rows[-1])
                if many:
                    state = jax.tree.map(lambda leaf, new, i=i: leaf.at[i].set(new), fit_state.state, state)
                fit_state = fit_state._replace(state=state)
        return fit_state

    if all(is_finished(rows, epochs, patience) for rows in histories):
        return settle(fit_state, histories), histories, diverged
    options: dict[str, Any] = {"epochs": epochs, "patience": patience, "runs_ahead": runs_ahead, "due": checkpoints.due}
    done = run_epochs(make_program(), fit_state, histories, save=save, on_epoch=on_epoch, settle=settle, **options)
    return *done, diverged


def restored_fit_state(
    state: TrainState, best_params: Any, histories: Histories, many: bool, epochs: int, patience: int | None
) -> FitState:
    """The state of a fit after the epochs of the histories, as a checkpoint holds them; arguments as `run_to_end`."""
    own = lambda values: jnp.asarray(values if many else values[0])
    return FitState(
        state,
        best_params,
        own([jnp.float32(best_loss(rows)) for rows in histories]),
        own([jnp.int32(best_epoch(rows)) for rows in histories]),
        own([not is_finished(rows, epochs, patience) for rows in histories]),
    )


class Run(NamedTuple):
    """A fit of one model before its next epoch: the functions that it is made of, and how far it has come."""

    keys: Keys
    step: TrainStep
    judge: Judge
    fit_state: FitState
    history: History
    replay: Callable[[BatchOf], Replay]
    everywhere: Callable[[Any], Any]  # puts arrays on every device of the mesh
    # Where a program must leave the fit state and its row: the next, the same program, takes the state from there.
    out_shardings: tuple[Any, Any] | None


def begin(
    model: Trainable,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *,
    num_steps: int,
    batch_size: int,
    microbatches: int,
    epochs: int,
    patience: int | None,
    mesh: Mesh | None,
    rules: Rules,
    checkpoints: Checkpoints,
) -> Run:
    """A fit of one model begun or restored; num_steps are those of an epoch, all else as `fit` takes it."""
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
    history: History = ()
    restored = checkpoints.restore(Progress(fit_state.state, fit_state.best_params, history))
    if restored is not None:
        history = restored.history
        fit_state = restored_fit_state(restored.state, restored.best_params, (history,), False, epochs, patience)
        fit_state = fit_state if out_shardings is None else place(fit_state, out_shardings[0])
    evaluate = make_evaluate(model, objective, batch_size, mesh)
    judge = make_judge(evaluate, num_steps, warm_up_steps_of(objective), patience)
    first = lambda: init(keys.init).state
    replay = lambda batch_of: Replay(model, objective, microbatches, step, keys.train, first, batch_of, num_steps)
    return Run(keys, step, judge, fit_state, history, replay, everywhere, out_shardings)


def finish(
    run: Run,
    make_program: Callable[[], Program],
    batch_of: BatchOf,
    *,
    epochs: int,
    patience: int | None,
    runs_ahead: bool,
    checkpoints: Checkpoints,
    on_epoch: Callable[[History], Any],
) -> Progress:
    """The progress of a run at its end; arguments as `run_to_end` and `Replay` take them.

    Raises:
      Diverged: as `fit`.
    """
    progress = lambda fit_state, histories: Progress(fit_state.state, fit_state.best_params, histories[0])
    fit_state, histories, diverged = run_to_end(
        make_program,
        run.fit_state,
        (run.history,),
        lambda _: run.replay(batch_of),
        many=False,
        epochs=epochs,
        patience=patience,
        runs_ahead=runs_ahead,
        checkpoints=checkpoints,
        save=lambda *done: checkpoints.save(progress(*done)),
        on_epoch=lambda histories: on_epoch(histories[0]),
    )
    if diverged[0] is not None:
        raise Diverged(diverged[0].message)
    return progress(fit_state, histories)
