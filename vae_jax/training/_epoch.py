"""Epochs of training, and evaluation of a data set, as single programs on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.distributions._checks import LARGEST_COUNT, check_count, check_counts
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params
from vae_jax.training._examples import Examples, batch_at, examples_of
from vae_jax.training._step import TrainState, TrainStep
from vae_jax.training.sharding import examples_per_device

TrainEpoch = Callable[[TrainState, jax.Array, Any], tuple[TrainState, Metrics]]
Evaluate = Callable[[Params, jax.Array, Any], Metrics]


def make_train_epoch(
    step: TrainStep, batch_size: int, *, num_steps: int | None = None, mesh: Mesh | None = None
) -> TrainEpoch:
    """Returns an epoch `(state, key, data) -> (state, mean metrics)`, one jitted `lax.scan` that donates the state.

    The data are a pytree of arrays `[N, ...]`, or `Examples`. Every epoch over arrays visits the examples in a new
    order, without replacement, which follows from the key and `state.step` alone. The last `N mod batch_size` examples
    of that order are left out; they differ between epochs.

    Args:
      step: a training step made by `make_train_step`.
      batch_size: number of examples per step, at most N.
      num_steps: steps per epoch; None: `N // batch_size`. Any other number requires examples with the order `drawn`.
      mesh: the devices to train on, made by `data_mesh`: each makes and computes its part of every batch. None: JAX's
        default device.

    Raises:
      ValueError: if the mesh's axis "data" does not divide batch_size; by the epoch, if batch_size is not between 1 and
        N, or the order of the examples does not allow num_steps.
    """
    if mesh is not None:
        examples_per_device(batch_size, mesh)

    @partial(jax.jit, donate_argnums=0)
    def train_epoch(state: TrainState, key: jax.Array, data: Any) -> tuple[TrainState, Metrics]:
        examples = examples_of("data", data)
        steps = num_steps_of(examples, batch_size, num_steps)
        batches = examples.order(key, state.step, steps, examples.count, batch_size)

        def body(state: TrainState, indices: jax.Array) -> tuple[TrainState, Metrics]:
            return step(state, key, batch_at(examples, key, state.step, indices, mesh))

        state, metrics = jax.lax.scan(body, state, batches)
        return state, jax.tree.map(jnp.mean, metrics)

    return train_epoch


def num_steps_of(examples: Examples, batch_size: int, num_steps: int | None) -> int:
    """Steps per epoch: num_steps, or if that is None, `steps_per_epoch` of the examples."""
    if num_steps is None:
        return steps_per_epoch(examples.count, batch_size)
    check_counts(LARGEST_COUNT, batch_size=batch_size, steps_per_epoch=num_steps)
    return num_steps


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Number of full batches in num_examples.

    Raises:
      ValueError: if the batch size is below 1 or above the number of examples.
    """
    check_count("batch_size", batch_size, -LARGEST_COUNT)
    if not 1 <= batch_size <= num_examples:
        raise ValueError(f"batch_size must be between 1 and the {num_examples} training examples, got {batch_size}")
    return num_examples // batch_size


def make_evaluate(model: Any, objective: Objective, batch_size: int, mesh: Mesh | None = None) -> Evaluate:
    """Returns `(params, key, data) -> metrics`: the objective's mean over ALL the examples, as one jitted program.

    The data are a pytree of arrays `[N, ...]`, or `Examples`, of which the indices 0 to `count - 1` are evaluated.

    Args:
      model: the model.
      objective: as for `make_train_step`; its `loss` is among the metrics.
      batch_size: number of examples evaluated at once, at least 1; the remainder is a smaller batch.
      mesh: as for `make_train_epoch`; a batch that the axis "data" does not divide is computed by every device.

    Raises:
      ValueError: if the batch size is below 1.
    """
    check_count("batch_size", batch_size)

    @jax.jit
    def evaluate(params: Params, key: jax.Array, data: Any) -> Metrics:
        examples = examples_of("data", data)

        def metrics_of(batch_key: jax.Array, number: Any, size: int) -> Metrics:
            # Indices are made here: slices of an array of indices would be moved between the devices of a mesh.
            batch = batch_at(examples, key, number, number * batch_size + jnp.arange(size), mesh)
            loss, aux = objective(model, params, batch_key, batch)
            return {"loss": loss, **aux.metrics}

        num_full, remainder = divmod(examples.count, batch_size)
        full_key, rest_key = jax.random.split(key)
        totals = []
        if num_full:
            numbered = jax.random.split(full_key, num_full), jnp.arange(num_full)
            means = jax.lax.map(lambda args: metrics_of(args[0], args[1], batch_size), numbered)
            totals.append(jax.tree.map(lambda m: batch_size * jnp.sum(m), means))
        if remainder:
            rest = metrics_of(rest_key, num_full, remainder)
            totals.append(jax.tree.map(lambda m: remainder * m, rest))
        return jax.tree.map(lambda *parts: sum(parts) / examples.count, *totals)

    return evaluate
