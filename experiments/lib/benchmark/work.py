"""Workload of the benchmark as a record: its rounds, and the facts needed to judge their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.lib.benchmark.flops import Product
from vae_jax.training.sharding import data_mesh

Arrays = dict[str, np.ndarray]
Call = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


class Setup(NamedTuple):
    """Options that a workload is built for."""

    precision: str = "float32"
    devices: int = 1
    batch_size: int | None = None  # default: the workload's own
    steps: int | None = None  # steps per round; default: the workload's own

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.precision)

    def batch_sharding(self) -> NamedSharding | None:
        """Sharding of arrays whose leading axis is the batch; None on one device."""
        if self.devices == 1:
            return None
        return NamedSharding(data_mesh(self.devices), PartitionSpec("data"))


class Work(NamedTuple):
    """Workload that is ready to run; each `round` continues from the end of the last one."""

    name: str
    protocol: str
    batch_size: int  # examples per step
    steps: int  # steps per round
    round: Callable[
        [], float
    ]  # does one round and waits for its end; returns the mean loss in nats, 0 if there is none
    step: Callable[[], Call]  # returns the function of one step and its arguments, to count its operations
    products: Sequence[Product]  # matrix products of one step
    problem: Arrays  # arrays that a peer needs to do the same
    peers: tuple[str, ...] = ()  # scripts of experiments/peers
    rivals: Mapping[str, Callable[[], float]] = {}  # rounds with as many steps in this process, to compare with


def named_arrays(params: Any) -> Arrays:
    """Copies of the leaves of a tree of dicts by their paths, as `encoder/hidden_0/kernel`, for a peer."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(entry.key for entry in path): np.array(leaf) for path, leaf in leaves}
