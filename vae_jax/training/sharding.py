"""Training on many devices: their mesh, and the shardings of the arrays of a training state.

Programs do not mention devices: they are compiled for the shardings of their arguments, and compute what one device
would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vae_jax.models._model import num_examples
from vae_jax.objectives._batch import Metrics
from vae_jax.training._step import TrainState, TrainStep

# (regular expression searched for in the path of an array, how the array's dimensions are split)
Rules = Sequence[tuple[str, PartitionSpec]]
T = TypeVar("T")


def data_mesh(num_devices: int | None = None, model: int = 1) -> Mesh:
    """A mesh with the axes "data", over which batches are split, and "model", over which rules may split parameters.

    Args:
      num_devices: number of devices of all processes; None: all devices, as a run of several processes requires.
      model: the size of the axis "model"; the size of the axis "data" is num_devices / model.

    Raises:
      ValueError: if there are fewer devices, or `model` does not divide their number.
    """
    available = jax.device_count()
    count = available if num_devices is None else num_devices
    if not 1 <= count <= available:
        raise ValueError(f"num_devices must be between 1 and the {available} that JAX finds, got {count}")
    if jax.process_count() > 1 and count != available:
        raise ValueError(
            f"num_devices must be all {available} devices of the {jax.process_count()} processes, got {count}"
        )
    if model < 1 or count % model:
        raise ValueError(f"model must divide the {count} devices of the mesh, got {model}")
    # Auto: the compiler propagates shardings, so that models and objectives need not mention them.
    axis_types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((count // model, model), ("data", "model"), axis_types, devices=jax.devices()[:count])


def shardings_of(tree: T, mesh: Mesh, rules: Rules = ()) -> T:
    """Sharding of each array of a tree: by the first rule that matches its path, else replicated.

    An array of a `TrainState` has a path such as `params/encoder/hidden_0/kernel`, and its moments in Adam's state have
    paths such as `opt_state/0/mu/encoder/hidden_0/kernel`: the rule `encoder/hidden_0/kernel` matches all three. The
    rules that split a network with one hidden layer by its hidden units, each device computing its part, are

        [("hidden_0/kernel", PartitionSpec(None, "model")), ("hidden_0/bias", PartitionSpec("model")),
         ("output/kernel", PartitionSpec("model", None))]

    `jax.jit(init, out_shardings=shardings_of(jax.eval_shape(init, key), mesh, rules))(key)` makes every array in its
    sharding, so that a model too large for one device is never on one.

    Args:
      tree: a pytree of arrays or of their shapes.
      mesh: a mesh made by `data_mesh`.
      rules: pairs (regular expression, PartitionSpec). Default: replicate everything.

    Raises:
      ValueError: if a rule matches no path, names an axis that the mesh lacks, or splits a dimension that does not
        exist or is not divisible.
    """
    leaves, structure = jax.tree.flatten_with_path(tree)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    for pattern, _ in rules:
        if not any(re.search(pattern, path) for path in paths):
            raise ValueError(f"rules: {pattern!r} matches no path; the paths are {', '.join(paths)}")
    found = []
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        spec = next((spec for pattern, spec in rules if re.search(pattern, path)), PartitionSpec())
        _check_spec(path, np.shape(leaf), spec, mesh)
        found.append(NamedSharding(mesh, spec))
    return jax.tree.unflatten(structure, found)


def _check_spec(path: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> None:
    if len(spec) > len(shape):
        raise ValueError(f"rules: {path} has the shape {shape}, too few dimensions for {spec}")
    for dimension, (size, names) in enumerate(zip(shape, spec, strict=False)):
        parts = 1
        for name in () if names is None else names if isinstance(names, tuple) else (names,):
            if name not in mesh.shape:
                axes = ", ".join(map(repr, mesh.axis_names))
                raise ValueError(f"rules: {spec} of {path} names the axis {name!r}; the axes of the mesh are {axes}")
            parts *= mesh.shape[name]
        if size % parts:
            raise ValueError(
                f"rules: {spec} splits dimension {dimension} of {path} into {parts} parts, which does not divide its "
                f"size {size} (shape {shape})"
            )


def place(tree: T, shardings: Any) -> T:
    """Places each array of a tree in its sharding; in a run of several processes all must pass the same values.

    Args:
      tree: a pytree of arrays or keys.
      shardings: the result of `shardings_of`, or one sharding for all arrays.
    """
    if isinstance(shardings, jax.sharding.Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(_place, tree, shardings)


def _place(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding with a copy of the array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: T, mesh: Mesh | None) -> T:
    """Copies each array of a tree to every device of the mesh; without a mesh, returns the tree unchanged."""
    return tree if mesh is None else place(tree, replicated_sharding(mesh))


def examples_per_device(batch_size: int, mesh: Mesh) -> int:
    """Number of examples of a batch for each position on the mesh's axis "data".

    Raises:
      ValueError: if the size of the axis does not divide the batch size.
    """
    size = mesh.shape["data"]
    if batch_size % size:
        below = batch_size - batch_size % size
        wanted = f"{below} or {below + size}" if below else f"{size}"
        raise ValueError(
            f"batch_size must be a multiple of {size}, the number of devices on the mesh's axis data, got "
            f"{batch_size}: take {wanted}"
        )
    return batch_size // size


def split_batch(batch: T, mesh: Mesh | None) -> T:
    """Splits a batch over the mesh's axis "data", inside a traced function; each device then computes its part.

    Results that need the whole batch (a mean, a covariance, new buffers) are still computed from all of it.

    Args:
      batch: a pytree of arrays `[B, ...]`. If the size of the axis does not divide B, every device computes all of it.
      mesh: a mesh made by `data_mesh`; None: the batch is returned unchanged.
    """
    if mesh is None or num_examples("batch", batch) % mesh.shape["data"]:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))


def keep_shardings(step: TrainStep, shardings: TrainState) -> TrainStep:
    """Constrains the state to the shardings of `shardings_of`, before and after a step.

    Otherwise the compiler chooses shardings: the state could then not be donated to the next epoch, which would begin
    by moving arrays.
    """

    def constrained(state: TrainState, key: jax.Array, batch: Any) -> tuple[TrainState, Metrics]:
        # At both ends, because an epoch is a loop, and the compiler takes both into account.
        state, metrics = step(jax.lax.with_sharding_constraint(state, shardings), key, batch)
        return jax.lax.with_sharding_constraint(state, shardings), metrics

    return constrained
