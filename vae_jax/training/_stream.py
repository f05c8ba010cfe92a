"""Training loop for batches that are streamed to the device: `fit` for data of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vae_jax.distributions._checks import LARGEST_COUNT, check_counts
from vae_jax.models._model import check_contexts
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.training._checks import check_examples_of, check_finite, check_plan
from vae_jax.training._evaluated import Evaluated, as_trained
from vae_jax.training._examples import examples_of
from vae_jax.training._history import History, Progress
from vae_jax.training._plan import FitState, Plan, split_key
from vae_jax.training._run import IN_MEMORY, Checkpoints, Loop, Program, run_one
from vae_jax.training._step import Trainable, TrainState, TrainStep
from vae_jax.training.sharding import Rules, replicate, split_batch


class BatchStream(Iterator[Any], Protocol):
    """An endless iterator of batches, pytrees of arrays `[batch_size, ...]`, each determined by its number alone.

    For example `vae_jax.data.Batches`. In a run of several processes each process has its own part of every batch.
    """

    batch_size: int  # total over all processes
    steps_per_epoch: int

    def seek(self, batch: int) -> None:
        """Moves the iterator, so that batch number `batch`, from 0, is next."""
        ...


def fit_stream(
    model: Trainable,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batches: BatchStream,
    validation: Any,
    key: jax.Array,
    *,
    epochs: int,
    microbatches: int = 1,
    patience: int | None = None,
    mesh: Mesh | None = None,
    rules: Rules = (),
    evaluated: Evaluated = as_trained,
    checkpoints: Checkpoints = IN_MEMORY,
    on_start: Callable[[], Any] = lambda: None,
    on_epoch: Callable[[History], Any] = lambda history: None,
) -> Progress:
    """Trains like `fit` on a stream of batches: only a few are in memory, and the next are read while the device works.

    The step number is the position in the stream. The checkpoint of a run therefore holds both, and a restored run
    continues with the next batches. The stream shuffles the batches; everything else that is random follows from the
    key, as in `fit`.

    Args:
      model, objective, optimizer, key: as `fit` takes them.
      batches: stream of the training examples; not to be read by anything else during the run.
      validation: the held-out examples, as `fit` takes them; they are kept in memory.
      epochs, microbatches, patience, rules, evaluated, checkpoints: as `fit` takes them.
      mesh: as `fit` takes it. In a run of several processes each must hold its own part of the mesh's axis "data".
      on_start: called once, when the first steps have been compiled and dispatched.
      on_epoch: called with the history after every epoch.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError, TypeError, Diverged: as `fit`.
      Exception: any error that the stream raises.
    """
    num_steps, batch_size = batches.steps_per_epoch, batches.batch_size
    plan = Plan(model, objective, optimizer, num_steps, batch_size, microbatches, patience, mesh, rules, evaluated)
    validation = examples_of("validation", validation)
    check_plan(plan, epochs)
    check_examples_of(plan, key, "validation", validation)
    keys = replicate(split_key(key), mesh)

    def put(chunk: Any) -> Any:
        check_finite("the next chunk of the stream", chunk)
        examples = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), chunk)
        check_contexts(model, "the next chunk of the stream", examples)
        if mesh is None:
            return jax.device_put(chunk)
        # Local arrays [k, this process's part of the batch, ...]; the parts of all processes follow one another.
        sharding = NamedSharding(mesh, PartitionSpec(None, "data"))
        global_shape = lambda leaf: (len(leaf), batch_size, *leaf.shape[2:])
        make_global = lambda leaf: jax.make_array_from_process_local_data(sharding, leaf, global_shape(leaf))
        return jax.tree.map(make_global, chunk)

    on_chunk = cache(on_start)  # calls on_start once

    def make_program(fit_state: FitState) -> Program:
        batches.seek(int(fit_state.state.step))
        epoch = make_train_stream_epoch(plan.step, num_steps, put=put, on_chunk=on_chunk, mesh=mesh)
        finish_epoch = jax.jit(plan.finish_epoch, donate_argnums=0, out_shardings=plan.out_shardings)
        held_out = replicate(validation, mesh)

        def program(fit_state: FitState) -> tuple[FitState, Metrics]:
            # A copy, because the state is donated to the epoch.
            state, metrics = epoch(jax.tree.map(jnp.copy, fit_state.state), keys.train, batches)
            return finish_epoch(fit_state, state, metrics, keys, held_out)

        return program

    def batch_of(step: int) -> tuple[Any, None]:
        batches.seek(step)
        one = put(jax.tree.map(lambda leaf: leaf[None], next(batches)))
        return jax.tree.map(lambda leaf: leaf[0], one), None  # the stream does not give the indices of its examples

    # No running ahead: the stream would be read for an epoch that may not follow.
    loop = Loop(epochs, patience, checkpoints, on_epoch, runs_ahead=False)
    return run_one(plan, keys, make_program, batch_of, loop)


def make_train_stream_epoch(
    step: TrainStep,
    steps_per_epoch: int,
    *,
    chunk_steps: int = 16,
    put: Callable[[Any], Any] = jax.device_put,
    on_chunk: Callable[[], Any] = lambda: None,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, jax.Array, Iterator[Any]], tuple[TrainState, dict[str, float]]]:
    """Returns an epoch `(state, key, batches) -> (state, mean metrics)` over streamed batches, for data of any size.

    The epoch takes exactly `steps_per_epoch` batches from the iterator and runs them in chunks of `chunk_steps`, each
    one jitted `lax.scan` that is dispatched at once; the state is donated. While the device computes a chunk, the host
    collects the next chunk, starts its copy to the device, and then waits for the chunk BEFORE the running one: the
    device always has work queued, and never more than two chunks.

    If every batch is taken by such epochs, the step number is the number of batches taken: a run that is restored from
    a checkpoint continues with the iterator at batch `state.step`.

    Args:
      step: a training step made by `make_train_step`.
      steps_per_epoch: at least 1.
      chunk_steps: steps per dispatch, at least 1; three chunks of batches are in memory at once.
      put: copies k batches of this process, a pytree of arrays `[k, B, ...]`, to the device or devices, over which
        their second axis may be split.
      on_chunk: called when a chunk has been compiled and dispatched.
      mesh: the devices that each compute their part of every batch; None: the devices that `put` chooses.

    Raises:
      ValueError: if steps_per_epoch or chunk_steps is below 1.
      RuntimeError: by the epoch, if the iterator ends too early.
      Exception: by the epoch, any error that the iterator raises.
    """
    check_counts(LARGEST_COUNT, steps_per_epoch=steps_per_epoch, chunk_steps=chunk_steps)

    @partial(jax.jit, donate_argnums=0)
    def train_chunk(state: TrainState, key: jax.Array, chunk: Any) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
            return step(state, key, split_batch(batch, mesh))

        state, metrics = jax.lax.scan(body, state, chunk)
        return state, jax.tree.map(lambda m: m.sum(axis=0), metrics)

    def train_epoch(state: TrainState, key: jax.Array, batches: Iterator[Any]) -> tuple[TrainState, dict[str, float]]:
        sums: list[dict[str, float]] = []
        working: Metrics | None = None
        for start in range(0, steps_per_epoch, chunk_steps):
            chunk = put(_collect(batches, min(chunk_steps, steps_per_epoch - start)))
            state, queued = train_chunk(state, key, chunk)
            on_chunk()
            if working is not None:
                sums.append(jax.tree.map(float, jax.device_get(working)))
            working = queued
        sums.append(jax.tree.map(float, jax.device_get(working)))
        return state, {name: sum(chunk[name] for chunk in sums) / steps_per_epoch for name in sums[0]}

    return train_epoch


def _collect(batches: Iterator[Any], count: int) -> Any:
    collected = list(islice(batches, count))
    if len(collected) < count:
        raise RuntimeError(f"the stream of batches ended within an epoch; {count - len(collected)} more were needed")
    return jax.tree.map(lambda *leaves: np.stack(leaves), *collected)
