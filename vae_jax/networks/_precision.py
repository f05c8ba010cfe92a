"""Mixed precision: a network computed in a type with fewer bits than that of its parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vae_jax.networks._network import Network


def in_precision(network: Network, dtype: DTypeLike) -> Network:
    """Returns the network computed in `dtype` (mixed precision), with float32 parameters and outputs.

    Parameters, gradients, the optimizer state and all densities keep their types: parameters and inputs are cast to
    `dtype` inside `apply`, and outputs back to float32. Outputs and the gradients of the parameters are rounded to
    `dtype`. Integer arrays are not cast.

    Args:
      network: a network that computes in the type of its parameters and inputs, as the networks of this package do; in
        your own flax module leave `dtype` at None.
      dtype: a floating-point type, for example `jnp.bfloat16`, which has the range of float32 with 8 bits of precision,
        so that no loss scaling is needed.

    Raises:
      ValueError: if dtype is not a floating-point type.

    Source: Micikevicius et al. 2018 (arXiv:1710.03740); Kalamkar et al. 2019 (arXiv:1905.12322), for bfloat16.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype must be a floating-point type, for example jnp.bfloat16, got {jnp.dtype(dtype).name}")

    def cast(leaf: jax.Array) -> jax.Array:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return network.apply(jax.tree.map(cast, params), cast(x)).astype(jnp.float32)

    return network._replace(apply=apply)
