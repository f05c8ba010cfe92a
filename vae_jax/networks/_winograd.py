"""Convolutions of stride 1 with fewer multiplications: Winograd's F(2x2, r x r), batched as matrix products.

Two neighboring outputs of a kernel of size r need r + 1 multiplications instead of 2 r: y = A [(G k) * (B x)], where x
are the r + 1 inputs. In two dimensions, a tile of 2x2 outputs needs (r + 1)^2 products instead of 4 r^2: 2.25 times
fewer for r = 3, 1.8 times fewer for r = 2. With channels, each product is a matrix product over all tiles,
`[tiles, C] @ [C, O]`. Since sum(y * convolution(x, k)) = sum((A^T y) * (G k) * (B x)), the gradient in the kernel has
the same three factors.

Shapes for N images: x `[N, h, w, C]`, k `[r, r, C, O]`, y `[N, ., ., O]`. Sums are in float32 or better.

Source: Lavin & Gray 2015 (arXiv:1509.09308), sections 4.1 and 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.networks._blocks import Pads, barrier, pad

Matrix = tuple[tuple[float, ...], ...]
Grid = Sequence[Sequence[jax.Array]]  # arrays of equal shape, by row and column


class MinimalFilter(NamedTuple):
    """F(2, r): y = outputs [(kernel k) * (inputs x)]."""

    inputs: Matrix  # B, [r + 1, r + 1]
    kernel: Matrix  # G, [r + 1, r]
    outputs: Matrix  # A, [2, r + 1]


FILTERS = {
    2: MinimalFilter(
        inputs=((1, -1, 0), (0, 1, 0), (0, 1, -1)),
        kernel=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 1, 0), (0, 1, -1)),
    ),
    3: MinimalFilter(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
}

# With fewer channels on either side, the sums over tiles cost more than the saved multiplications.
FEWEST_CHANNELS = {2: 64, 3: 32}


def is_faster(kernel: tuple[int, int], channels: int, features: int) -> bool:
    """Returns whether there is a filter for this kernel that is faster than the product of windows."""
    rows, columns = kernel
    return rows == columns and rows in FILTERS and min(channels, features) >= FEWEST_CHANNELS[rows]


def correlate(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """Convolution of stride 1 of the padded x."""
    size, features = len(kernel), kernel.shape[-1]
    x, height, width = _padded_to_tiles(x, pads, size)
    products = jnp.matmul(_input_tiles(x, size), _kernel_tiles(kernel))
    shape = (size + 1, size + 1, x.shape[0], -(-height // 2), -(-width // 2), features)
    tiles = _transformed(FILTERS[size].outputs, barrier(products).reshape(shape))
    y = jnp.stack([jnp.stack(row, axis=3) for row in tiles], axis=2)  # [N, h / 2, 2, w / 2, 2, O]
    return y.reshape(x.shape[0], 2 * shape[3], 2 * shape[4], features)[:, :height, :width]


def transposed_correlate(y: jax.Array, kernel: jax.Array, pads: Pads, image: tuple[int, int]) -> jax.Array:
    """Transpose of `correlate` in x, `[N, *image, C]`: sum(x * transposed_correlate(y, k)) = sum(y * correlate(x, k)).

    `correlate` of y with the rotated kernel gives the same values. It is faster unless it needs more tiles, since the
    tiles here overlap and must be summed.
    """
    size, (height, width) = len(kernel), y.shape[1:3]
    tiles = _output_tiles(pad(y, ((0, height % 2), (0, width % 2))), size)
    products = jnp.matmul(tiles, barrier(_kernel_tiles(kernel).swapaxes(1, 2)))
    shape = (size + 1, size + 1, y.shape[0], -(-height // 2), -(-width // 2), kernel.shape[2])
    shares = _transformed(_transpose(FILTERS[size].inputs), barrier(products).reshape(shape))
    (top, _), (left, _) = pads
    columns = [
        barrier(_sum([_dilated(row[j], 1, i - top, image[0]) for i, row in enumerate(shares)])) for j in range(size + 1)
    ]
    return _sum([_dilated(column, 2, j - left, image[1]) for j, column in enumerate(columns)])


def kernel_gradient(x: jax.Array, y: jax.Array, pads: Pads, size: int) -> jax.Array:
    """Gradient in k, `[size, size, C, O]`: sum(k * kernel_gradient(x, y)) = sum(y * correlate(x, k))."""
    x, height, width = _padded_to_tiles(x, pads, size)
    # A product that sums over the rows of both factors is slow; a transpose behind a barrier costs less.
    inputs = barrier(_input_tiles(x, size).swapaxes(1, 2))
    products = jnp.matmul(inputs, _output_tiles(pad(y, ((0, height % 2), (0, width % 2))), size))
    grid = barrier(products).reshape(size + 1, size + 1, *products.shape[1:])
    return jnp.stack([jnp.stack(row) for row in _transformed(_transpose(FILTERS[size].kernel), grid)])


def _at_least_float32(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _padded_to_tiles(x: jax.Array, pads: Pads, size: int) -> tuple[jax.Array, int, int]:
    """Returns x padded for an even number of outputs, and the height and width of the output."""
    height, width = (n + sum(p) - size + 1 for n, p in zip(x.shape[1:3], pads, strict=True))
    (top, bottom), (left, right) = pads
    padded = pad(_at_least_float32(x), ((top, bottom + height % 2), (left, right + width % 2)))
    return barrier(padded), height, width


def _input_tiles(x: jax.Array, size: int) -> jax.Array:
    """B x for the overlapping tiles of x, `[(size + 1)^2, tiles, C]`."""
    height, width = (n - size for n in x.shape[1:3])
    starts = range(size + 1)
    tiles = [[x[:, i : i + height : 2, j : j + width : 2] for j in starts] for i in starts]
    return _stacked(FILTERS[size].inputs, tiles)


def _kernel_tiles(kernel: jax.Array) -> jax.Array:
    """G k, `[(size + 1)^2, C, O]`."""
    products = _transformed(FILTERS[len(kernel)].kernel, _at_least_float32(kernel))
    return barrier(jnp.stack([product for row in products for product in row]))


def _output_tiles(y: jax.Array, size: int) -> jax.Array:
    """A^T y for the tiles of y, `[(size + 1)^2, tiles, O]`."""
    tiles = [[_at_least_float32(y)[:, i::2, j::2] for j in range(2)] for i in range(2)]
    return _stacked(_transpose(FILTERS[size].outputs), tiles)


def _dilated(x: jax.Array, axis: int, start: int, size: int) -> jax.Array:
    """Puts the entries of x at start, start + 2, ... of an axis of the given size, dropping entries outside it."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (start, size - start - 2 * x.shape[axis] + 1, 1)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


def _stacked(matrix: Matrix, grid: Grid) -> jax.Array:
    products = _transformed(matrix, grid)
    return barrier(jnp.stack([product.reshape(-1, product.shape[-1]) for row in products for product in row]))


def _transformed(matrix: Matrix, grid: Grid | jax.Array) -> list[list[jax.Array]]:
    """M g M^T for a grid g."""
    by_rows = [_combined(matrix, [row[j] for row in grid]) for j in range(len(grid[0]))]
    return [_combined(matrix, [column[i] for column in by_rows]) for i in range(len(matrix))]


def _combined(matrix: Matrix, terms: Sequence[jax.Array]) -> list[jax.Array]:
    """M t, computed without the products by 0 and 1."""
    rows = [[t if m == 1 else m * t for m, t in zip(row, terms, strict=True) if m] for row in matrix]
    return [_sum(row) for row in rows]


def _sum(terms: Sequence[jax.Array]) -> jax.Array:
    return sum(terms[1:], terms[0])


def _transpose(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))
