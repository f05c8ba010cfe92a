"""The gated PixelCNN over a grid of discrete codes: two stacks of convolutions that together read all earlier places.

Nothing is masked. The inputs are shifted once, by a row for the vertical stack and by a column for the horizontal one,
and every kernel then reaches only upwards, or only to the left:

    vertical stack at (i, j):   all rows above i, widening by the kernel's radius a layer
    horizontal stack at (i, j): row i left of j, and at each layer the vertical stack at (i, j)

so that no place above is hidden from a later one, as it is behind the masked kernels of the first PixelCNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.networks._code_network import CodeNetwork, applied, check_at_least, in_full_precision, rows_of
from vae_jax.networks._convolutions import convolution


class ReachingConv(nn.Module):
    """A convolution of stride 1 that reads `up` rows above, `left` columns before and `right` behind each place."""

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
    """One layer of both stacks, v and h `[h, w, C]`, a bias for each label, b and c, in either convolution.

    u = vertical(v) + b,  v' = gate(u),  h' = h + horizontal_output(gate(horizontal(h) + c + across(u))).
    """

    num_classes: int
    radius: int

    @nn.compact
    def __call__(self, v: jax.Array, h: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
        channels = v.shape[-1]
        labels = (self.num_classes + 1, 2 * channels)
        zeros = nn.initializers.zeros_init()
        vertical = ReachingConv(2 * channels, self.radius, self.radius, self.radius, name="vertical")(v)
        vertical = vertical + rows_of(self.param("vertical_label", zeros, labels), label)[None, None]
        horizontal = ReachingConv(2 * channels, 0, self.radius, 0, name="horizontal")(h)
        horizontal = horizontal + rows_of(self.param("horizontal_label", zeros, labels), label)[None, None]
        horizontal = horizontal + nn.Dense(2 * channels, name="across")(vertical)
        return gate(vertical), h + nn.Dense(channels, name="horizontal_output")(gate(horizontal))


def gate(x: jax.Array) -> jax.Array:
    """tanh(a) sigmoid(b) of the two halves a, b of the channels: van den Oord et al. 2016, eq. 2."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class GatedPixelCNN(nn.Module):
    """A table `code`, layers `layer_0`, ..., then on the horizontal stack 1x1 `hidden` and `output`, ReLUs before."""

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
        # Small, that training starts near the uniform distribution.
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
    """Codes `[h * w]` in [0, K), row by row, and a label -> logits `[h * w, K]`, row t of which reads codes[:t] alone.

    With reach = layers * (kernel_size // 2), the place (i, j) reads the rows i - 1 - reach, ..., i - 1 in the columns
    j - reach, ..., j + reach, and its own row in j - 1 - reach, ..., j - 1: all earlier places of a grid of at most
    reach + 1 columns and reach + 2 rows.

    Args:
      num_codes: K, at least 1.
      grid: (h, w), rows and columns.
      num_classes: how many labels there are beside "no label", which is the label num_classes.
      layers: of both stacks, at least 1.
      channels: C, of either stack, at least 1.
      kernel_size: odd, at least 3; the kernels are halves of one of this size.

    Raises:
      ValueError: where a number is too small, grid is not two numbers, or kernel_size is even.

    Source: van den Oord et al. 2016 (arXiv:1606.05328), section 2 and figure 2.
    """
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"grid must be (rows, columns), each at least 1, got {tuple(grid)}")
    check_at_least("num_codes", num_codes, 1)
    check_at_least("num_classes", num_classes, 0)
    check_at_least("layers", layers, 1)
    check_at_least("channels", channels, 1)
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
    rows, columns = grid
    module = GatedPixelCNN(num_codes, num_classes, layers, channels, kernel_size // 2)
    of_grid = applied(module)

    def logits(params: Any, codes: jax.Array, label: jax.Array) -> jax.Array:
        return of_grid(params, codes.reshape(rows, columns), label).reshape(-1, num_codes)

    def init(key: jax.Array) -> Any:
        return module.init(key, jnp.zeros((rows, columns), jnp.int32), jnp.int32(0))["params"]

    return CodeNetwork(init, logits)
