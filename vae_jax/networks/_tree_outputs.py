"""Networks whose outputs are a tree of arrays, made of networks whose output is a vector."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.networks._network import Network


def num_outputs(shapes: Any) -> int:
    """Total number of entries of a tree of shapes (tuples of whole numbers)."""
    return sum(math.prod(shape) for shape in jax.tree.leaves(shapes, is_leaf=_is_shape))


def with_tree_outputs(network: Network, shapes: Any) -> Network:
    """Splits the output vector `[num_outputs(shapes)]` of a network into arrays of these shapes.

    Args:
      network: its output is a vector, the arrays in the order of `jax.tree.leaves`, each in row-major order.
      shapes: a tree of shapes, such as `likelihood.output_shape(...)` of `models.likelihoods.joint`.

    Raises:
      ValueError: by `apply`, if the network's output is not a vector of that length.
    """
    leaves, structure = jax.tree.flatten(shapes, is_leaf=_is_shape)
    total, ends = num_outputs(shapes), np.cumsum([math.prod(shape) for shape in leaves])[:-1]

    def apply(params: Any, x: Any) -> Any:
        outputs = network.apply(params, x)
        if outputs.shape != (total,):
            raise ValueError(f"network must give a vector of {total} outputs, got an array of shape {outputs.shape}")
        arrays = [array.reshape(shape) for array, shape in zip(jnp.split(outputs, ends), leaves, strict=True)]
        return jax.tree.unflatten(structure, arrays)

    return network._replace(apply=apply)


def _is_shape(node: Any) -> bool:
    return isinstance(node, tuple) and all(isinstance(size, int | np.integer) for size in node)
