"""Finite scalar quantization: each entry of a vector is rounded to one of a few levels; the codebook is a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._checks import check_sizes
from vae_jax.params import Params
from vae_jax.quantizers._gradients import straight_through
from vae_jax.quantizers._quantizer import Quantized, Quantizer

# Relative width beyond the outermost levels: tanh reaches them, and atanh of the shift for an even L is finite.
_MARGIN = 1e-3


def finite_scalar_quantizer(levels: Sequence[int]) -> Quantizer:
    """value_i = round(f_i(z_i)) / floor(L_i / 2), f_i(z) = h tanh(z + atanh(o / h)) - o; no loss, no codebook.

    h = (L - 1)(1 + 0.001) / 2, and o = 1/2 for an even number of levels, else 0: f_i(0) = 0, and f_i spans the L
    integers from -floor(L / 2) on. For L = 2, f_i is h tanh(z) - 1/2, which separates the signs: the formula would put
    0 at the end where tanh is flat, 3.8 away from the other level. The single int32 index counts the points of the grid
    with the first entry varying fastest.

    Args:
      levels: L_1, ..., L_D, each at least 2; K is their product. The paper takes (8, 5, 5, 5) for about 2^10.

    Raises:
      ValueError: if levels is empty, a level is below 2, or K is not below 2^31.

    Source: Mentzer et al. 2023 (arXiv:2309.15505), section 3 and appendix A.1.
    """
    check_sizes("levels", levels)
    if not levels or any(level < 2 for level in levels):
        raise ValueError(f"levels must be one or more numbers of at least 2, got {levels}")
    size = math.prod(levels)
    if size >= 2**31:
        raise ValueError(f"the product of levels, the number of codes, must be below 2^31, got {size:,}")
    counts = np.asarray(levels, np.int32)
    half, strides = counts // 2, np.concatenate([[1], np.cumprod(counts[:-1])]).astype(np.int32)
    width = ((counts - 1) * (1.0 + _MARGIN) / 2.0).astype(np.float32)
    offset = np.where(counts % 2 == 0, 0.5, 0.0).astype(np.float32)
    shift = np.where(counts == 2, 0.0, np.arctanh(offset / width)).astype(np.float32)

    def quantize(params: Params, z: jax.Array) -> Quantized:
        chex.assert_shape(z, (len(levels),))
        bounded = jnp.tanh(z.astype(jnp.float32) + shift) * width - offset
        # Clipped, since the margin must not be rounded to a level outside the grid.
        rounded = jnp.clip(jnp.round(bounded), -half, counts - 1 - half)
        value = straight_through(bounded / half, rounded / half)
        return Quantized(value, jnp.sum((rounded.astype(jnp.int32) + half) * strides, keepdims=True), jnp.zeros(()))

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        chex.assert_shape(indices, (1,))
        digits = (indices // strides) % counts
        value = (digits - half).astype(jnp.float32) / half
        return jnp.where((indices >= 0) & (indices < size), value, jnp.nan)

    return Quantizer(lambda key: {}, quantize, lookup, len(levels), (size,))
