"""Batches split over a mesh of devices: each computes its part, and the gradient's sum is all that they exchange."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Aux
from vae_jax.objectives._scheduled import Scheduled
from vae_jax.params import Params
from vae_jax.training.sharding import replicated


def examples_per_device(batch_size: int, mesh: Mesh) -> int:
    """The part of a batch that one place on the axis "data" computes.

    Raises:
      ValueError: where the axis does not divide the batch.
    """
    size = mesh.shape["data"]
    if batch_size % size:
        below = batch_size - batch_size % size
        wanted = f"{below} or {below + size}" if below else f"{size}"
        raise ValueError(
            f"batch_size must be a multiple of the {size} devices of the mesh's axis data, got {batch_size}: "
            f"take {wanted}"
        )
    return batch_size // size


def on_mesh(objective: Objective, mesh: Mesh) -> Objective:
    """The same objective, each place on the mesh's axis "data" computing its part of the batch.

    Whatever the objective does with the batch as a whole (its mean, a covariance, the buffers' new values) it does with
    all of it. Of a `Scheduled` objective it is one again, with the same warm-up.

    Raises:
      ValueError: by the objective, where the axis does not divide the batch; `on_mesh_or_whole` takes those too.
    """

    def split(batch: jax.Array) -> jax.Array:
        examples_per_device(batch.shape[0], mesh)
        return _split(batch, mesh)

    return _on_batch(objective, split)


def on_mesh_or_whole(objective: Objective, mesh: Mesh) -> Objective:
    """`on_mesh`, where a batch that the axis does not divide, such as an evaluation's last, is computed everywhere."""
    size = mesh.shape["data"]
    return _on_batch(objective, lambda batch: batch if batch.shape[0] % size else _split(batch, mesh))


def _split(batch: jax.Array, mesh: Mesh) -> jax.Array:
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))


def _on_batch(objective: Objective, split: Callable[[jax.Array], jax.Array]) -> Objective:
    if isinstance(objective, Scheduled):
        scheduled = objective
        return Scheduled(lambda step: _on_batch(scheduled.at(step), split), scheduled.warm_up_steps)

    def on_split(model: VAE, params: Params, key: jax.Array, batch: jax.Array) -> tuple[jax.Array, Aux]:
        return objective(model, params, key, split(batch))

    return on_split


def process_rows(num_examples: int, mesh: Mesh) -> np.ndarray:
    """The rows of the data that this process reads and gives to `place_examples`; all, where it is the only one.

    Every process has as many: where the devices do not divide num_examples, the last row comes more than once.
    """
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    if sharding.is_fully_addressable:
        return np.arange(num_examples)
    padded = _padded(num_examples, mesh)
    indices = sharding.addressable_devices_indices_map((padded,)).values()
    parts = sorted({index[0].indices(padded)[:2] for index in indices if index is not None})
    return np.minimum(np.concatenate([np.arange(*part) for part in parts]), num_examples - 1)


def place_examples(rows: ArrayLike, num_examples: int, mesh: Mesh) -> jax.Array:
    """All the examples `[num_examples, ...]` on every device, of which each process has read its own rows alone.

    A copy on every device, not a part: an epoch's order is of all the examples, as on one device, and each device finds
    its share of every batch in its own memory. Data that no device can hold is streamed instead.

    Args:
      rows: `data[process_rows(num_examples, mesh)]`.
      num_examples: in all.
      mesh: of `data_mesh`.

    Raises:
      ValueError: where the rows are not as many as `process_rows` gives.
    """
    rows, expected = np.asarray(rows), len(process_rows(num_examples, mesh))
    if len(rows) != expected:
        raise ValueError(f"rows must be the {expected} of process_rows, got {len(rows)}")
    everywhere, parts = replicated(mesh), NamedSharding(mesh, PartitionSpec("data"))
    if parts.is_fully_addressable:
        return jax.device_put(rows, everywhere)
    shape = (_padded(num_examples, mesh), *rows.shape[1:])
    gather = jax.jit(lambda padded: padded[:num_examples], out_shardings=everywhere)
    return gather(jax.make_array_from_process_local_data(parts, rows, shape))


def _padded(num_examples: int, mesh: Mesh) -> int:
    return num_examples + -num_examples % mesh.shape["data"]
