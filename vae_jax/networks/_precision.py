"""A network computed in fewer bits than its parameters are kept in."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vae_jax.networks._network import Network


def in_precision(network: Network, dtype: DTypeLike) -> Network:
    """The network computed in `dtype`, with parameters, inputs and outputs as they were: mixed precision.

    Parameters stay what `network.init` makes them (float32), and so do gradients, the optimizer's state and all
    densities: the cast is inside, on the way in and out. Only the network's own arithmetic, and the rounding of its
    outputs and of its parameters' gradients, is of `dtype`. An array of integers is passed on as it is.

    Args:
      network: any that computes in the type of what it is given, as the networks of this package do; in a flax module
        of your own leave `dtype` at None.
      dtype: a floating-point type, for example `jnp.bfloat16`: float32's range with 8 bits of precision, so that no
        loss needs to be scaled.

    Raises:
      ValueError: where dtype is not a floating-point type.

    Source: Micikevicius et al. 2018 (arXiv:1710.03740); Kalamkar et al. 2019 (arXiv:1905.12322), for bfloat16.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype must be a floating-point type, for example jnp.bfloat16, got {jnp.dtype(dtype).name}")

    def cast(leaf: jax.Array) -> jax.Array:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return network.apply(jax.tree.map(cast, params), cast(x)).astype(jnp.float32)

    return network._replace(apply=apply)
