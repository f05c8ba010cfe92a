"""The training loop: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives.batch import Metrics
from vae_jax.training.data_parallel import examples_per_device, on_mesh, on_mesh_or_whole
from vae_jax.training.epoch import make_evaluate, make_train_epoch, steps_per_epoch
from vae_jax.training.fitting import Fitting, init_fitting, make_fitting_epoch, split_key
from vae_jax.training.loop import (
    IN_MEMORY,
    Checkpoints,
    History,
    best_epoch,
    best_loss,
    is_finished,
    is_finite,
    row_of,
    run_epochs,
)
from vae_jax.training.sharding import Rules, keep_shardings, place, replicated, shardings_of
from vae_jax.training.step import TrainState, make_train_step


class Progress(NamedTuple):
    """A run as far as it has come: what a checkpoint holds, and what `fit` returns."""

    state: TrainState  # after the last epoch
    best_params: Params  # after the best epoch
    history: History

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) of the lowest validation loss after the warm-up; until then the last (0: none yet)."""
        return best_epoch(self.history)


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
    mesh: Mesh | None = None,
    rules: Rules = (),
    checkpoints: Checkpoints = IN_MEMORY,
    on_start: Callable[[], Any] = lambda: None,
    on_epoch: Callable[[History], Any] = lambda history: None,
) -> Progress:
    """Trains, evaluating the validation examples after every epoch, and keeps the parameters that were best on them.

    The data goes to the device once, and an epoch with its validation is one program there, which the next follows
    without waiting for the host to read its metrics. Everything random follows from `key` and the step number, so a run
    that is stopped and restored from a checkpoint ends in the same bits as one that was not.

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
      mesh: the devices to train on, of `data_mesh`: each computes its part of every batch, and the results are those of
        one device up to the order of sums. None: JAX's default device. In a run of several processes, train and
        validation are already on it, by `place_examples`.
      rules: which parameters are split over the mesh's axis "model", as `shardings_of` takes them; else every device
        holds them all.
      checkpoints: where to save progress, and to restore it from if there is any; by default it is in memory only.
      on_start: called once, when the first epoch has been compiled and begins.
      on_epoch: called with the history after every epoch, while the device is at the next one.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError: where epochs, batch_size or patience is out of range, validation is empty, or the mesh's axis "data"
        does not divide batch_size.
      Diverged: where the training or validation loss is no longer finite.
    """
    train, validation = check_fit(objective, train, validation, epochs, batch_size, patience)
    keys, step, evaluated = split_key(key), make_train_step(model, objective, optimizer), objective
    init = jax.jit(lambda k: init_fitting(model, optimizer, k))
    out_shardings = None
    if mesh is not None:
        examples_per_device(batch_size, mesh)
        keys, train, validation = place((keys, train, validation), replicated(mesh))
        shardings = shardings_of(jax.eval_shape(init, keys.init), mesh, rules)
        init = jax.jit(init, out_shardings=shardings)
        step = keep_shardings(make_train_step(model, on_mesh(objective, mesh), optimizer), shardings.state)
        evaluated = on_mesh_or_whole(objective, mesh)
        # An epoch must leave everything where the next, which is the same program, takes it from.
        out_shardings = shardings, replicated(mesh)
    fitting = init(keys.init)
    progress = _progress(fitting, ())
    restored = checkpoints.restore(progress)
    if restored is not None:
        progress, fitting = restored, _fitting(restored)
        if mesh is not None:
            fitting = place(fitting, shardings)
    if is_finished(progress.history, epochs, patience):
        return progress

    def add(history: History, metrics: Metrics) -> History:
        row = row_of(metrics)
        if not is_finite(row):
            raise Diverged(
                f"the loss is not finite after epoch {row['epoch']} (train {row['train/loss']}, validation "
                f"{row['validation/loss']}): lower the learning rate, or look for extreme values in the data"
            )
        return (*history, row)

    evaluate = make_evaluate(model, evaluated, batch_size)
    epoch = make_fitting_epoch(make_train_epoch(step, batch_size), evaluate, warm_up_steps_of(objective), patience)
    program = (
        jax.jit(epoch, donate_argnums=0, out_shardings=out_shardings).lower(fitting, keys, train, validation).compile()
    )
    on_start()
    fitting, history = run_epochs(
        lambda fitting: program(fitting, keys, train, validation),
        fitting,
        progress.history,
        add=add,
        last=lambda history: len(history) + 1 >= epochs,
        finished=lambda history: is_finished(history, epochs, patience),
        due=checkpoints.due,
        save=lambda *done: checkpoints.save(_progress(*done)),
        on_epoch=on_epoch,
    )
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


def check_fit(
    objective: Objective,
    train: ArrayLike,
    validation: ArrayLike,
    epochs: int,
    batch_size: int,
    patience: int | None,
) -> tuple[jax.Array, jax.Array]:
    """The examples on the device; raises or warns as `fit` says, with the line that called it."""
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
            stacklevel=3,
        )
    return train, validation
