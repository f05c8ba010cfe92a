"""Gated PixelCNN over a grid of discrete codes: two stacks of convolutions that together read all earlier places.

No kernel is masked. The input of the vertical stack is shifted by a row and the input of the horizontal stack by a
column; after that, every kernel reads only places above, or only places to the left:

    vertical stack at (i, j):   the rows above i, in a range that grows by the radius of the kernel per layer
    horizontal stack at (i, j): row i left of j, and in each layer the vertical stack at (i, j)

Unlike the masked kernels of the first PixelCNN, this leaves no blind spot above a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.networks._code_network import CodeNetwork, check_at_least, in_full_precision, pure_method, rows_of
from vae_jax.networks._convolutions import convolution


class AsymmetricConv(nn.Module):
    """Convolution of stride 1 over `up` rows above, `left` columns left and `right` columns right of each place."""

    features: int
    up: int
    left: int
    right: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.up + 1, self.left + self.right + 1, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        padded = jnp.pad(x, ((self.up, 0), (self.left, self.right), (0, 0)))
        return convolution(padded, kernel) + bias[None, None]


class GatedLayer(nn.Module):
    """A layer of both stacks, v and h `[h, w, C]`.

    u = vertical(v) + b,  v' = gate(u),  h' = h + horizontal_output(gate(horizontal(h) + c + across(u))), where the
    biases b and c depend on the label.
    """

    num_classes: int
    radius: int

    @nn.compact
    def __call__(self, v: jax.Array, h: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
        channels = v.shape[-1]
        labels = (self.num_classes + 1, 2 * channels)
        zeros = nn.initializers.zeros_init()
        vertical = AsymmetricConv(2 * channels, self.radius, self.radius, self.radius, name="vertical")(v)
        vertical = vertical + rows_of(self.param("vertical_label", zeros, labels), label)[None, None]
        horizontal = AsymmetricConv(2 * channels, 0, self.radius, 0, name="horizontal")(h)
        horizontal = horizontal + rows_of(self.param("horizontal_label", zeros, labels), label)[None, None]
        horizontal = horizontal + nn.Dense(2 * channels, name="across")(vertical)
        return gate(vertical), h + nn.Dense(channels, name="horizontal_output")(gate(horizontal))


def gate(x: jax.Array) -> jax.Array:
    """tanh(a) sigmoid(b) for the two halves a, b of the channels (van den Oord et al. 2016, eq. 2)."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class GatedPixelCNN(nn.Module):
    """Embedding `code`, layers `layer_0`, ..., then 1x1 layers `hidden` and `output` on the horizontal stack."""

    num_codes: int
    num_classes: int
    layers: int
    channels: int
    radius: int

    @nn.compact
    def __call__(self, codes: jax.Array, label: jax.Array) -> jax.Array:
        table = self.param("code", nn.initializers.normal(1.0), (self.num_codes, self.channels))
        x = rows_of(table, codes)
        v = jnp.pad(x, ((1, 0), (0, 0), (0, 0)))[:-1]
        h = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        for i in range(self.layers):
            v, h = GatedLayer(self.num_classes, self.radius, name=f"layer_{i}")(v, h, label)
        h = nn.Dense(self.channels, name="hidden")(nn.relu(h))
        # Small weights, so that training starts near the uniform distribution.
        output = nn.Dense(self.num_codes, kernel_init=nn.initializers.normal(0.02), name="output")
        return in_full_precision(output(nn.relu(h)))


def gated_pixel_cnn(
    num_codes: int,
    grid: Sequence[int],
    num_classes: int = 0,
    layers: int = 8,
    channels: int = 128,
    kernel_size: int = 3,
) -> CodeNetwork:
    """Gated PixelCNN: codes `[h * w]` in [0, K), row by row, and a label -> logits `[h * w, K]`.

    Row t of the logits depends on the label and codes[:t] only. With reach = layers * (kernel_size // 2), the place
    (i, j) reads the rows i - 1 - reach, ..., i - 1 in the columns j - reach, ..., j + reach, and row i in the columns
    j - 1 - reach, ..., j - 1. These are all earlier places of a grid with at most reach + 1 columns and reach + 2 rows.

    Args:
      num_codes: K, at least 1.
      grid: (h, w), numbers of rows and columns.
      num_classes: number of labels; the label num_classes means "no label".
      layers: number of layers of both stacks, at least 1.
      channels: C, the number of channels of each stack, at least 1.
      kernel_size: an odd number of at least 3; the kernels are halves of a kernel of this size.

    Raises:
      ValueError: if a number is too small, grid is not two numbers, or kernel_size is even.

    Source: van den Oord et al. 2016 (arXiv:1606.05328), section 2 and figure 2.
    """
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"grid must be (rows, columns), both at least 1, got {tuple(grid)}")
    check_at_least("num_codes", num_codes, 1)
    check_at_least("num_classes", num_classes, 0)
    check_at_least("layers", layers, 1)
    check_at_least("channels", channels, 1)
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
    rows, columns = grid
    module = GatedPixelCNN(num_codes, num_classes, layers, channels, kernel_size // 2)
    grid_logits = pure_method(module)

    def logits(params: Any, codes: jax.Array, label: jax.Array) -> jax.Array:
        return grid_logits(params, codes.reshape(rows, columns), label).reshape(-1, num_codes)

    def init(key: jax.Array) -> Any:
        return module.init(key, jnp.zeros((rows, columns), jnp.int32), jnp.int32(0))["params"]

    return CodeNetwork(init, logits)
