"""Training on batches that come from outside the device: it works on one chunk while the next is read and copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from vae_jax.distributions._checks import check_count
from vae_jax.objectives._batch import Metrics
from vae_jax.training._step import TrainState, TrainStep


def make_train_stream_epoch(
    step: TrainStep,
    steps_per_epoch: int,
    *,
    chunk_steps: int = 16,
    put: Callable[[np.ndarray], Any] = jax.device_put,
    on_chunk: Callable[[], Any] = lambda: None,
) -> Callable[[TrainState, jax.Array, Iterator[np.ndarray]], tuple[TrainState, dict[str, float]]]:
    """An epoch `(state, key, batches) -> (state, mean metrics)`, as `make_train_epoch`'s on data of any size.

    It takes `steps_per_epoch` batches from the iterator, no more, and runs them in chunks of `chunk_steps`, each one
    jitted `lax.scan` that is dispatched at once; the state is donated. While the device works on a chunk, the host
    collects the next one and starts its copy to the device, and then waits for the chunk BEFORE the one in work: the
    device always has work queued, and never more than two chunks of it.

    The step number is the number of batches taken, where every batch came through here: a run that is restored from
    a checkpoint goes on with the iterator at batch `state.step`.

    Args:
      step: of `make_train_step`.
      steps_per_epoch: at least 1.
      chunk_steps: steps a dispatch, at least 1; three chunks of batches are held at once.
      put: from `[k, ...]`, k batches of this process, to the array on the device or devices, where the batch may be
        sharded over its second axis.
      on_chunk: called when a chunk has been compiled and handed to the device.

    Raises:
      ValueError: where steps_per_epoch or chunk_steps is below 1.
      RuntimeError (the epoch): where the iterator ends too early; what the iterator raises.
    """
    check_count("steps_per_epoch", steps_per_epoch, 0)
    check_count("chunk_steps", chunk_steps, 0)
    if steps_per_epoch < 1 or chunk_steps < 1:
        raise ValueError(f"steps_per_epoch and chunk_steps must be at least 1, got {steps_per_epoch} and {chunk_steps}")

    @partial(jax.jit, donate_argnums=0)
    def train_chunk(state: TrainState, key: jax.Array, chunk: jax.Array) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, batch: jax.Array) -> tuple[TrainState, Metrics]:
            return step(state, key, batch)

        state, metrics = jax.lax.scan(body, state, chunk)
        return state, jax.tree.map(lambda m: m.sum(axis=0), metrics)

    def train_epoch(
        state: TrainState, key: jax.Array, batches: Iterator[np.ndarray]
    ) -> tuple[TrainState, dict[str, float]]:
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


def _collect(batches: Iterator[np.ndarray], count: int) -> np.ndarray:
    collected = []
    for batch in batches:
        collected.append(batch)
        if len(collected) == count:
            return np.stack(collected)
    raise RuntimeError(f"the stream of batches ended within an epoch; {count - len(collected)} more were needed")
