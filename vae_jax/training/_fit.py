"""Training loop for examples that fit on the device: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from vae_jax.objectives import Objective
from vae_jax.training._checks import check_fit
from vae_jax.training._divergence import BatchOf
from vae_jax.training._epoch import num_steps_of
from vae_jax.training._evaluated import Evaluated, as_trained
from vae_jax.training._examples import Examples, batch_at, examples_of
from vae_jax.training._history import History, Progress
from vae_jax.training._plan import FitState, Keys, Plan, split_key
from vae_jax.training._run import IN_MEMORY, Checkpoints, Loop, Program, run_one
from vae_jax.training._step import Trainable
from vae_jax.training.sharding import Rules, replicate


def fit(
    model: Trainable,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    train: Any,
    validation: Any,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int = 128,
    steps_per_epoch: int | None = None,
    microbatches: int = 1,
    patience: int | None = None,
    mesh: Mesh | None = None,
    rules: Rules = (),
    evaluated: Evaluated = as_trained,
    checkpoints: Checkpoints = IN_MEMORY,
    on_start: Callable[[], Any] = lambda: None,
    on_epoch: Callable[[History], Any] = lambda history: None,
) -> Progress:
    """Trains a model, validates it after every epoch, and keeps the parameters with the lowest validation loss.

    The data are copied to the device once. An epoch with its validation is one program there, and the next epoch starts
    without waiting for the host to read the metrics. Everything random follows from `key` and the step number: a run
    that is stopped and restored from a checkpoint ends in the same bits as a run that was not stopped.

    An objective with a warm-up (`objectives.Scheduled`) is evaluated in its form after the warm-up. No epoch that ends
    during the warm-up counts as the best or against patience; until then the best parameters are the last. If a run is
    too short for its warm-up, a warning is given at the start, and the parameters of the last epoch are kept.

    Args:
      model: any record with an `init` that the objective accepts.
      objective: (model, params, key, batch) -> (loss, Aux); wrap it in `objectives.with_preprocessing` if the examples
        are raw pixels.
      optimizer: any optax gradient transformation that needs no more than the gradient, the parameters and, as `value`,
        the loss of a step.
      train: the training examples: a pytree of arrays `[N, ...]`, or `Examples`, which may be generated.
      validation: the held-out examples, in the form of train, with the same structure and shape of an example.
      key: the run's key.
      epochs: number of passes over train, at least 1.
      batch_size: number of examples per step, at most N.
      steps_per_epoch: None: `N // batch_size`. Any other number requires `Examples` with the order `drawn`.
      microbatches: number of parts of a batch for gradient accumulation, as `make_train_step` takes it.
      patience: number of epochs (since the warm-up) without a new lowest validation loss after which training stops
        early; None: no early stopping.
      mesh: the devices to train on, made by `data_mesh`: each makes and computes its part of every batch, and the
        results are those of one device up to the order of sums. None: JAX's default device. In a run of several
        processes each must pass all examples; parts of equal size that each process has read are joined by JAX's
        `multihost_utils.process_allgather`.
      rules: which parameters are split over the mesh's axis "model", as `shardings_of` takes them; every device holds
        all other parameters.
      evaluated: (optimizer state, trained parameters) -> the parameters that are validated after every epoch and kept
        as `best_params`: `averaged_params`, a moving average (`averaged`), or
        `optax.contrib.schedule_free_eval_params`. It neither takes nor changes the buffers, and training continues
        with the trained parameters. Default: the trained parameters.
      checkpoints: where progress is saved, and restored from if there is any. Default: in memory only.
      on_start: called once, when the first epoch has been compiled and begins.
      on_epoch: called with the history after every epoch, while the device computes the next.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError: if epochs, batch_size, steps_per_epoch, microbatches or patience is out of range; if train or
        validation is empty, has leaves of different lengths, values that are not finite or examples of another shape
        than the model's; if the first batch is, after preprocessing, outside the support of the likelihood; if the
        mesh's axis "data" does not divide batch_size; if the optimizer needs more than a step passes to it (a line
        search, `optax.contrib.sam`); or if evaluated does not suit the optimizer or the parameters. The message names
        the leaf by its path.
      TypeError: if the examples have contexts and the model takes none, or have none and the model takes them.
      Diverged: if the training or validation loss, or a parameter, is no longer finite. The last finite state is saved
        first, and the message names the term of the loss, the step and the example. A run restored from that state
        raises the same error.
    """
    train, validation = examples_of("train", train), examples_of("validation", validation)
    num_steps = num_steps_of(train, batch_size, steps_per_epoch)
    plan = Plan(model, objective, optimizer, num_steps, batch_size, microbatches, patience, mesh, rules, evaluated)
    check_fit(plan, epochs, train, validation, key)
    keys, *examples = replicate((split_key(key), train, validation), mesh)

    def make_program(fit_state: FitState) -> Program:
        program = jax.jit(plan.validated_epoch, donate_argnums=0, out_shardings=plan.out_shardings)
        compiled = program.lower(fit_state, keys, *examples).compile()
        on_start()
        return lambda fit_state: compiled(fit_state, keys, *examples)

    batch_of = batches_in_memory(plan, keys, examples[0])
    return run_one(plan, keys, make_program, batch_of, Loop(epochs, patience, checkpoints, on_epoch))


def batches_in_memory(plan: Plan, keys: Keys, examples: Examples) -> BatchOf:
    """Returns (step, from 0) -> the batch of that step in `make_train_epoch`, and the indices of its examples."""
    num_steps = plan.steps_per_epoch

    @lru_cache(maxsize=1)
    def order(epoch: int) -> np.ndarray:
        return np.asarray(examples.order(keys.train, epoch * num_steps, num_steps, examples.count, plan.batch_size))

    def batch_of(step: int) -> tuple[Any, np.ndarray]:
        epoch, step_of_epoch = divmod(step, num_steps)
        indices = order(epoch)[step_of_epoch]
        return batch_at(examples, keys.train, step, indices), indices

    return batch_of
