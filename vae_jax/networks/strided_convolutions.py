"""Convolutions that halve and double an image (4x4 kernel, stride 2, padding 1), written as matrix products.

On a CPU, XLA runs the gradients of its own convolutions tens of times slower inside `lax.scan` than outside, and a
whole epoch is one scan. Cut into blocks of 2x2 pixels, a convolution with kernel 4 and stride 2 is a convolution of
blocks with kernel 2 and stride 1: four shifted copies side by side and one matrix product, and the transposed one is
the same read backwards. Values and parameters are those of `lax.conv_general_dilated` and of its transpose.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


def strided_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution with stride 2 and padding 1 of one image.

    Args:
      x: `[2h, 2w, C]`.
      kernel: `[4, 4, C, O]`, not flipped (a cross-correlation, as networks have it).

    Returns:
      `[h, w, O]`.
    """
    chex.assert_rank([x, kernel], [3, 4])
    chex.assert_shape(kernel, (4, 4, x.shape[-1], None))
    blocks = space_to_depth(jnp.pad(x, ((1, 1), (1, 1), (0, 0))))
    return windows(blocks) @ kernel_of_blocks(kernel)


def transposed_strided_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The transpose (adjoint) of `strided_convolution` with respect to its image.

    Args:
      x: `[h, w, O]`.
      kernel: `[4, 4, C, O]`, the kernel of the convolution that this is the adjoint of.

    Returns:
      `[2h, 2w, C]`.
    """
    chex.assert_rank([x, kernel], [3, 4])
    chex.assert_shape(kernel, (4, 4, None, x.shape[-1]))
    channels, features = kernel.shape[2:]
    # Output block (i, j) gathers x at (i - 1 .. i, j - 1 .. j), met by the kernel's 2x2 quarters in reverse order.
    quarters = kernel_of_blocks(kernel).reshape(2, 2, 4 * channels, features)[::-1, ::-1]
    matrix = jnp.swapaxes(quarters, 2, 3).reshape(4 * features, 4 * channels)
    blocks = windows(jnp.pad(x, ((1, 1), (1, 1), (0, 0)))) @ matrix
    return depth_to_space(blocks)[1:-1, 1:-1]


def space_to_depth(x: jax.Array) -> jax.Array:
    """`[2h, 2w, C]` -> `[h, w, 4C]`, each 2x2 block laid out row, column, channel."""
    height, width, channels = x.shape
    blocks = x.reshape(height // 2, 2, width // 2, 2, channels).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(height // 2, width // 2, 4 * channels)


def depth_to_space(x: jax.Array) -> jax.Array:
    """The inverse of `space_to_depth`."""
    height, width, depth = x.shape
    blocks = x.reshape(height, width, 2, 2, depth // 4).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(2 * height, 2 * width, depth // 4)


def windows(x: jax.Array) -> jax.Array:
    """`[h + 1, w + 1, C]` -> `[h, w, 4C]`: at each place its 2x2 window, laid out row, column, channel."""
    return jnp.concatenate([x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]], axis=-1)


def kernel_of_blocks(kernel: jax.Array) -> jax.Array:
    """`[4, 4, C, O]` -> `[16C, O]`, in the order of `windows(space_to_depth(x))`."""
    _, _, channels, features = kernel.shape
    split = kernel.reshape(2, 2, 2, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return split.reshape(16 * channels, features)


class HalvingConv(nn.Module):
    """`[2h, 2w, C]` -> `[h, w, features]`."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (4, 4, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return strided_convolution(x, kernel) + bias[None, None]


class DoublingConv(nn.Module):
    """`[h, w, C]` -> `[2h, 2w, features]`."""

    features: int
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Each output pixel meets 2x2 of the 4x4 kernel: fan-in 4 C.
        scale = nn.initializers.variance_scaling(4.0, "fan_out", "truncated_normal", in_axis=-2, out_axis=-1)
        kernel = self.param("kernel", scale, (4, 4, self.features, x.shape[-1]))
        bias = self.param("bias", self.bias_init, (self.features,))
        return transposed_strided_convolution(x, kernel) + bias[None, None]
