"""Whole passes over data as single programs on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_COUNT, check_count
from vae_jax.models._model import VAE
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params
from vae_jax.training._step import TrainState, TrainStep

# Folded into the run's key for the shuffling; no step number reaches it.
_SHUFFLING = 2**32 - 1


def make_train_epoch(
    step: TrainStep, batch_size: int
) -> Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, Metrics]]:
    """An epoch `(state, key, examples) -> (state, mean metrics)` as one jitted `lax.scan`; the state is donated.

    Each epoch visits the examples in a new order, without replacement; the order follows from the key and from
    `state.step` alone. The last `N mod batch_size` of that order are left out of the epoch, different ones each time.

    Args:
      step: of `make_train_step`.
      batch_size: examples a step, at most N.
    """

    @partial(jax.jit, donate_argnums=0)
    def train_epoch(state: TrainState, key: jax.Array, examples: jax.Array) -> tuple[TrainState, Metrics]:
        batches = batches_of_epoch(key, state.step, examples.shape[0], batch_size)

        def body(state: TrainState, indices: jax.Array) -> tuple[TrainState, Metrics]:
            return step(state, key, examples[indices])

        state, metrics = jax.lax.scan(body, state, batches)
        return state, jax.tree.map(jnp.mean, metrics)

    return train_epoch


def batches_of_epoch(key: jax.Array, step: jax.Array | int, num_examples: int, batch_size: int) -> jax.Array:
    """Indices `[steps, batch_size]` of the examples that each step of an epoch is given.

    Args:
      key: the run's key.
      step: any step of the epoch, counted from the start of the run.
      num_examples: N.
      batch_size: examples a step, at most N.
    """
    num_steps = steps_per_epoch(num_examples, batch_size)
    shuffling_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLING), step // num_steps)
    order = jax.random.permutation(shuffling_key, num_examples)
    return order[: num_steps * batch_size].reshape(num_steps, batch_size)


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Full batches in num_examples.

    Raises:
      ValueError: where the batch size is below 1 or above the number of examples.
    """
    check_count("batch_size", batch_size, -LARGEST_COUNT)
    if not 1 <= batch_size <= num_examples:
        raise ValueError(f"batch_size must be between 1 and the {num_examples} training examples, got {batch_size}")
    return num_examples // batch_size


def make_evaluate(
    model: VAE, objective: Objective, batch_size: int
) -> Callable[[Params, jax.Array, jax.Array], Metrics]:
    """`(params, key, examples) -> metrics`: the objective's mean over ALL the examples, as one jitted program.

    Args:
      model: the model.
      objective: as for `make_train_step`; its `loss` is among the metrics.
      batch_size: examples held at once, at least 1; the remainder is a smaller batch of its own.

    Raises:
      ValueError: where the batch size is below 1.
    """
    check_count("batch_size", batch_size)

    def metrics_of(params: Params, key: jax.Array, batch: jax.Array) -> Metrics:
        loss, aux = objective(model, params, key, batch)
        return {"loss": loss, **aux.metrics}

    @jax.jit
    def evaluate(params: Params, key: jax.Array, examples: jax.Array) -> Metrics:
        if not examples.shape[0]:
            raise ValueError("examples must hold at least 1 example")
        num_full, remainder = divmod(examples.shape[0], batch_size)
        full_key, rest_key = jax.random.split(key)
        totals = []
        if num_full:
            full = examples[: num_full * batch_size].reshape(num_full, batch_size, *examples.shape[1:])
            keys = jax.random.split(full_key, num_full)
            means = jax.lax.map(lambda args: metrics_of(params, *args), (keys, full))
            totals.append(jax.tree.map(lambda m: batch_size * jnp.sum(m), means))
        if remainder:
            rest = metrics_of(params, rest_key, examples[num_full * batch_size :])
            totals.append(jax.tree.map(lambda m: remainder * m, rest))
        return jax.tree.map(lambda *parts: sum(parts) / examples.shape[0], *totals)

    return evaluate
