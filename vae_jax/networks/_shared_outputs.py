"""Networks with outputs that are the same for every input: parameters of their own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.networks._network import Network


def with_shared_outputs(network: Network, initial: ArrayLike) -> Network:
    """Appends learned numbers that do not depend on the input to the last axis of a network's outputs.

    A decoder with one learned variance for all pixels, for `likelihoods.normal`, is
    `with_shared_outputs(mlp_decoder(latent_dim, (28, 28, 1, 1)), [-4.0])`: the network gives the means `[28, 28, 1, 1]`
    and the log-variance follows them in `[28, 28, 1, 2]`. Initial numbers `[num_genes, 1]` give each gene its own
    dispersion.

    The parameters are those of the network under "network", and the numbers under "shared".

    Args:
      network: its outputs are an array `[..., n]`.
      initial: `[k]`, or `[..., k]` with axes that broadcast to those of the outputs: initial values of the numbers.

    Raises:
      ValueError: if initial is a scalar; by `apply`, if it does not broadcast to the outputs.
    """
    start = jnp.asarray(initial, jnp.float32)
    if not start.ndim:
        raise ValueError("initial must be an array of at least one axis, such as [-4.0], got a scalar")

    def apply(params: Any, x: Any) -> jax.Array:
        outputs = network.apply(params["network"], x)
        shared = params["shared"].astype(outputs.dtype)
        wanted = (*outputs.shape[:-1], shared.shape[-1])
        return jnp.concatenate([outputs, jnp.broadcast_to(shared, wanted)], axis=-1)

    return Network(lambda key: {"network": network.init(key), "shared": start}, apply)
