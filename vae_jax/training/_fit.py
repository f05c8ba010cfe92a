"""The training loop on examples that fit on the device: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import VAE
from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives._batch import Metrics
from vae_jax.training._begun import Progress, begin, run_to_end
from vae_jax.training._checks import check_finite, check_first_batch
from vae_jax.training._divergence import BatchOf
from vae_jax.training._epoch import batches_of_epoch, make_train_epoch, steps_per_epoch
from vae_jax.training._fitting import Fitting, make_fitting_epoch, make_judge, split_key
from vae_jax.training._loop import IN_MEMORY, Checkpoints, History
from vae_jax.training.sharding import Rules


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
        one device up to the order of sums. None: JAX's default device. In a run of several processes each gives
        all examples, or has placed them by `place_examples`.
      rules: which parameters are split over the mesh's axis "model", as `shardings_of` takes them; else every device
        holds them all.
      checkpoints: where to save progress, and to restore it from if there is any; by default it is in memory only.
      on_start: called once, when the first epoch has been compiled and begins.
      on_epoch: called with the history after every epoch, while the device is at the next one.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError: if epochs, batch_size or patience is out of range, validation is empty, the data hold values that are
        not finite or examples of another shape than the model's, the first batch is, after preprocessing, outside the
        support of the likelihood, or the mesh's axis "data" does not divide batch_size.
      Diverged: if the training or validation loss, or a parameter, is no longer finite. The last finite state is saved
        before, and the message names the term of the loss, the step and the example. A run that is restored from there
        raises it again.
    """
    examples = check_fit(model, objective, train, validation, key, epochs, batch_size, patience)
    begun = begin(model, objective, optimizer, key, batch_size, mesh, rules, checkpoints)
    examples = begun.everywhere(examples)
    num_steps = steps_per_epoch(examples[0].shape[0], batch_size)

    def make_program() -> Callable[[Fitting], tuple[Fitting, Metrics]]:
        judge = make_judge(begun.evaluate, num_steps, warm_up_steps_of(objective), patience)
        epoch = make_fitting_epoch(make_train_epoch(begun.step, batch_size), judge)
        program = jax.jit(epoch, donate_argnums=0, out_shardings=begun.out_shardings)
        compiled = program.lower(begun.fitting, begun.keys, *examples).compile()
        on_start()
        return lambda fitting: compiled(fitting, begun.keys, *examples)

    return run_to_end(
        make_program,
        begun,
        batch_of=batches_in_memory(begun.keys.train, examples[0], batch_size),
        steps_per_epoch=num_steps,
        epochs=epochs,
        patience=patience,
        runs_ahead=True,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def batches_in_memory(key: jax.Array, examples: jax.Array, batch_size: int) -> BatchOf:
    """(step, from 0) -> the batch that `make_train_epoch` gives it, and the index of each of its examples."""
    num_steps = steps_per_epoch(examples.shape[0], batch_size)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> np.ndarray:
        return np.asarray(batches_of_epoch(key, epoch * num_steps, examples.shape[0], batch_size))

    def batch_of(step: int) -> tuple[jax.Array, np.ndarray]:
        epoch, of_epoch = divmod(step, num_steps)
        indices = order(epoch)[of_epoch]
        return examples[indices], indices

    return batch_of


def check_fit(
    model: VAE,
    objective: Objective,
    train: ArrayLike,
    validation: ArrayLike,
    key: jax.Array,
    epochs: int,
    batch_size: int,
    patience: int | None,
) -> tuple[jax.Array, jax.Array]:
    """The examples on the device; raises or warns as `fit` says, with the line that called it."""
    train, validation = jnp.asarray(train), jnp.asarray(validation)
    check_numbers(objective, validation, epochs, steps_per_epoch(train.shape[0], batch_size), patience, stacklevel=4)
    if train.shape[1:] != validation.shape[1:]:
        raise ValueError(
            f"validation must hold examples of train's shape, {train.shape[1:]}, got {validation.shape[1:]}"
        )
    training_key = split_key(key).train
    for name, examples in (("train", train), ("validation", validation)):
        check_finite(name, examples)
        check_first_batch(model, objective, training_key, name, examples[:batch_size])
    return train, validation


def check_numbers(
    objective: Objective,
    validation: jax.Array,
    epochs: int,
    num_steps: int,
    patience: int | None,
    stacklevel: int = 3,
) -> None:
    """Raises or warns as `fit` says; num_steps are those of an epoch."""
    check_count("epochs", epochs)
    check_count("the number of training steps, epochs times those of an epoch,", epochs * num_steps)
    if patience is not None:
        check_count("patience", patience, least=0)
    if patience is not None and patience < 1:
        raise ValueError(f"patience must be at least 1 epoch (or None), got {patience}")
    if not validation.shape[0]:
        raise ValueError("validation must hold at least 1 example")
    warm_up_steps = warm_up_steps_of(objective)
    if epochs * num_steps < warm_up_steps:
        warnings.warn(
            f"the objective's warm-up takes {warm_up_steps} steps, and this run ends before it, after "
            f"{epochs * num_steps} ({epochs} epochs of {num_steps}): no epoch counts as the best or stops the run "
            "early, and the parameters of the last are kept; train for more epochs, or warm up in fewer steps",
            stacklevel=stacklevel,
        )
