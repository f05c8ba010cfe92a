"""Many devices as one: a mesh of them, and where on it the arrays of a training state lie.

A program says nothing of devices: it is compiled for wherever its arguments lie, and computes what one device would.
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

# (regular expression, where in the path of an array it is searched for; how the array's dimensions are split)
Rules = Sequence[tuple[str, PartitionSpec]]
T = TypeVar("T")


def data_mesh(num_devices: int | None = None, model: int = 1) -> Mesh:
    """A mesh with the axes "data", over which batches are split, and "model", over which rules may split parameters.

    Args:
      num_devices: over all processes; None: all there are. A run of several processes uses all.
      model: the size of the axis "model"; num_devices / model is that of "data".

    Raises:
      ValueError: if there are fewer devices, or `model` does not divide them.
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
    # Auto: the compiler propagates shardings, so that models and objectives need not speak of them.
    axis_types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((count // model, model), ("data", "model"), axis_types, devices=jax.devices()[:count])


def shardings_of(tree: T, mesh: Mesh, rules: Rules = ()) -> T:
    """Where each array of a tree lies: as the first rule says that is found in its path, else replicated.

    The path of an array of a `TrainState` is such as `params/encoder/hidden_0/kernel`, and its moments in Adam's state
    are at `opt_state/0/mu/encoder/hidden_0/kernel`: one rule, `encoder/hidden_0/kernel`, is of all three. A network of
    one hidden layer is split by its hidden units, each device computing with its own, by

        [("hidden_0/kernel", PartitionSpec(None, "model")), ("hidden_0/bias", PartitionSpec("model")),
         ("output/kernel", PartitionSpec("model", None))]

    `jax.jit(init, out_shardings=shardings_of(jax.eval_shape(init, key), mesh, rules))(key)` makes every array where it
    lies, so that a model too large for one device never is on one.

    Args:
      tree: of arrays or of their shapes.
      mesh: of `data_mesh`.
      rules: the default replicates everything.

    Raises:
      ValueError: if a rule is found in no path, names no axis of the mesh, or splits a dimension that is not there
        or is not divisible.
    """
    leaves, structure = jax.tree.flatten_with_path(tree)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    for pattern, _ in rules:
        if not any(re.search(pattern, path) for path in paths):
            raise ValueError(f"rules: {pattern!r} is found in no path; the paths are {', '.join(paths)}")
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
                raise ValueError(f"rules: {spec} of {path} names the axis {name!r}; the mesh has {mesh.axis_names}")
            parts *= mesh.shape[name]
        if size % parts:
            raise ValueError(
                f"rules: {spec} splits dimension {dimension} of {path} into {parts}, which does not divide its "
                f"{size} (shape {shape})"
            )


def place(tree: T, shardings: Any) -> T:
    """The tree with each array where its sharding says; in a run of several processes each gives the same values.

    Args:
      tree: of arrays or keys.
      shardings: of `shardings_of`, or one sharding for all.
    """
    if isinstance(shardings, jax.sharding.Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(_place, tree, shardings)


def _place(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def everywhere(tree: T, mesh: Mesh | None) -> T:
    """The tree with a copy of each array on every device of the mesh; as it is, if there is none."""
    return tree if mesh is None else place(tree, replicated(mesh))


def examples_per_device(batch_size: int, mesh: Mesh) -> int:
    """Examples of a batch that one place on the axis "data" computes.

    Raises:
      ValueError: if the axis does not divide the batch.
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


def split_batch(batch: T, mesh: Mesh | None) -> T:
    """The batch, each place on the mesh's axis "data" computing its part of it; inside a traced function.

    Whatever is done with the batch as a whole (its mean, a covariance, the buffers' new values) is done with all of it.

    Args:
      batch: a pytree of arrays `[B, ...]`; every device computes all of one that the axis does not divide.
      mesh: of `data_mesh`; None: the batch stays where it is.
    """
    if mesh is None or num_examples("batch", batch) % mesh.shape["data"]:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("data")))


def keep_shardings(step: TrainStep, shardings: TrainState) -> TrainStep:
    """The step, with every array of the state, before and after, where `shardings_of` said that it lies.

    Else the compiler chooses: an epoch then could not give its memory to the next, which would begin by moving arrays.
    """

    def kept(state: TrainState, key: jax.Array, batch: Any) -> tuple[TrainState, Metrics]:
        # At both ends: an epoch is a loop, and the compiler weighs what it is told of either.
        state, metrics = step(jax.lax.with_sharding_constraint(state, shardings), key, batch)
        return jax.lax.with_sharding_constraint(state, shardings), metrics

    return kept
