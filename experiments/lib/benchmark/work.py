"""One work of the benchmark as a record: what a round runs, and all that is needed to judge its time."""

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
    """What a work is built for."""

    precision: str = "float32"
    devices: int = 1
    batch_size: int | None = None  # None: the work's own
    steps: int | None = None  # of a round; None: the work's own

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.precision)

    def batch_sharding(self) -> NamedSharding | None:
        """Of arrays whose leading axis is the batch; None on one device."""
        if self.devices == 1:
            return None
        return NamedSharding(data_mesh(self.devices), PartitionSpec("data"))


class Work(NamedTuple):
    """A work, ready to run; `round` carries on from where the last one ended."""

    name: str
    protocol: str
    batch_size: int  # examples of a step
    steps: int  # of a round
    round: Callable[[], float]  # one round, waited for; the mean loss in nats, 0 where there is none
    step: Callable[[], Call]  # one step and its arguments, to count what it does
    products: Sequence[Product]  # of one step
    problem: Arrays  # what a peer needs to do the same
    peers: tuple[str, ...] = ()  # scripts of experiments/peers
    rivals: Mapping[str, Callable[[], float]] = {}  # rounds of as many steps in this process, to compare with


def named_arrays(params: Any) -> Arrays:
    """The leaves of a tree of dicts by their paths, `encoder/hidden_0/kernel`: copies, for a peer."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(entry.key for entry in path): np.array(leaf) for path, leaf in leaves}
