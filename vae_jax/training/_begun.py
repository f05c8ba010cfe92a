"""What `fit` and `fit_stream` share: how a fit begins or is restored, and how it is taken to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vae_jax.models._model import VAE
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params
from vae_jax.training._data_parallel import examples_per_device, on_mesh, on_mesh_or_whole
from vae_jax.training._divergence import BatchOf, Diverged, Divergence, Replay, explain
from vae_jax.training._epoch import make_evaluate
from vae_jax.training._fitting import Evaluate, Fitting, Keys, init_fitting, split_key
from vae_jax.training._loop import (
    Checkpoints,
    History,
    best_epoch,
    best_loss,
    is_finished,
    is_finite,
    row_of,
    run_epochs,
)
from vae_jax.training._memory import check_state_fits
from vae_jax.training._step import TrainState, TrainStep, make_train_step
from vae_jax.training.sharding import Rules, keep_shardings, place, replicated, shardings_of


class Progress(NamedTuple):
    """A run as far as it has come: what a checkpoint holds, and what `fit` returns."""

    state: TrainState  # after the last epoch
    best_params: Params  # after the best epoch
    history: History

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
        return best_epoch(self.history)


class Begun(NamedTuple):
    """A fit before its next epoch: the functions that it is made of, and how far it has come."""

    model: VAE
    objective: Objective
    keys: Keys
    init: Callable[[jax.Array], Fitting]
    step: TrainStep
    evaluate: Evaluate
    fitting: Fitting
    progress: Progress
    everywhere: Callable[[Any], Any]  # puts arrays on every device of the mesh
    # Where a program must leave the fitting and its row, for the next, the same program, takes the fitting from there.
    out_shardings: tuple[Any, Any] | None


def begin(
    model: VAE,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    batch_size: int,
    mesh: Mesh | None,
    rules: Rules,
    checkpoints: Checkpoints,
) -> Begun:
    """A fit begun or restored; arguments as `fit` takes them."""
    keys, step, evaluated = split_key(key), make_train_step(model, objective, optimizer), objective
    init = jax.jit(lambda k: init_fitting(model, optimizer, k))
    everywhere, out_shardings = lambda tree: tree, None
    if mesh is None:
        check_state_fits(jax.eval_shape(init, keys.init))
    else:
        examples_per_device(batch_size, mesh)
        everywhere = lambda tree: place(tree, replicated(mesh))
        shardings = shardings_of(jax.eval_shape(init, keys.init), mesh, rules)
        out_shardings = shardings, replicated(mesh)
        init = jax.jit(init, out_shardings=shardings)
        step = keep_shardings(make_train_step(model, on_mesh(objective, mesh), optimizer), shardings.state)
        evaluated = on_mesh_or_whole(objective, mesh)
    keys = everywhere(keys)
    fitting = init(keys.init)
    progress = _progress(fitting, ())
    restored = checkpoints.restore(progress)
    if restored is not None:
        progress, fitting = restored, _fitting(restored)
        fitting = fitting if out_shardings is None else place(fitting, out_shardings[0])
    evaluate = make_evaluate(model, evaluated, batch_size)
    return Begun(model, objective, keys, init, step, evaluate, fitting, progress, everywhere, out_shardings)


def run_to_end(
    make_program: Callable[[], Callable[[Fitting], tuple[Fitting, Metrics]]],
    begun: Begun,
    *,
    batch_of: BatchOf,
    steps_per_epoch: int,
    epochs: int,
    patience: int | None,
    runs_ahead: bool,
    checkpoints: Checkpoints,
    on_epoch: Callable[[History], Any],
) -> Progress:
    """The epochs of a fit that has begun.

    Args:
      make_program: compiles an epoch, as `run_epochs` takes it; not called for a run that has ended.
      begun: the state to continue from; a run that has ended, also by divergence, ends in the same way again.
      batch_of: (step, from 0) -> its batch, and the index of each of its examples in the data if that is known.
      steps_per_epoch: of the data.
      epochs, patience, checkpoints, on_epoch: as `fit` takes them.
      runs_ahead: whether an epoch may be handed to the device before it is known that the one before was not the last.

    Raises:
      Diverged: as `fit`.
    """

    diverged: list[Divergence] = []

    def settle(fitting: Fitting, history: History) -> Fitting:
        if not history or is_finite(history[-1]):
            return fitting
        init = lambda: begun.init(begun.keys.init).state
        replay = Replay(begun.model, begun.objective, begun.step, begun.keys.train, init, batch_of, steps_per_epoch)
        state, divergence = explain(replay, fitting.state, history[-1])
        diverged.append(divergence)
        return fitting._replace(state=state)

    if is_finished(begun.progress.history, epochs, patience):
        settle(begun.fitting, begun.progress.history)
        if diverged:
            raise Diverged(diverged[0].message)
        return begun.progress
    fitting, history = run_epochs(
        make_program(),
        begun.fitting,
        begun.progress.history,
        add=lambda history, metrics: (*history, row_of(metrics)),
        runs_ahead=runs_ahead,
        last=lambda history: len(history) + 1 >= epochs,
        finished=lambda history: is_finished(history, epochs, patience),
        due=checkpoints.due,
        save=lambda *done: checkpoints.save(_progress(*done)),
        on_epoch=on_epoch,
        settle=settle,
    )
    if diverged:
        raise Diverged(diverged[0].message)
    return _progress(fitting, history)


def _progress(fitting: Fitting, history: History) -> Progress:
    return Progress(fitting.state, fitting.best_params, history)


def _fitting(progress: Progress) -> Fitting:
    history = progress.history
    return Fitting(
        progress.state,
        progress.best_params,
        jnp.float32(best_loss(history)),
        jnp.int32(best_epoch(history)),
        jnp.bool_(True),
    )
