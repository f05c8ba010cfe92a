"""Feature-wise modulation: a context scales and shifts the channels of a convolutional layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn


def modulated(x: jax.Array, context: jax.Array | None, name: str) -> jax.Array:
    """x (1 + scale) + shift per channel, with (scale, shift) = A context + b; x itself if there is no context.

    Call it inside a compact module, which then owns A and b as a dense layer. Both are initially zero, so that an
    untrained layer equals that of a network without a context.

    Args:
      x: `[..., C]`.
      context: `[context_size]`, or None.
      name: name of the dense layer.

    Source: Perez et al. 2018 (arXiv:1709.07871), eq. 1 and 2, with gamma = 1 + scale.
    """
    if context is None:
        return x
    dense = nn.Dense(2 * x.shape[-1], kernel_init=nn.initializers.zeros_init(), name=name)
    scale, shift = jnp.split(dense(context).reshape(*(1,) * (x.ndim - 1), -1), 2, axis=-1)
    return x * (1.0 + scale) + shift
