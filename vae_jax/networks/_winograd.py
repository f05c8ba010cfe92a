"""Convolutions of stride 1 with fewer multiplications: Winograd's F(2x2, r x r), batched as matrix products.

Two neighboring outputs of a kernel of r places need r + 1 multiplications, not 2 r: y = A [(G k) * (B x)], x being the
r + 1 inputs. In two dimensions a tile of 2x2 outputs takes (r + 1)^2 products for 4 r^2, 2.25 times fewer where r = 3
and 1.8 times where r = 2; with channels each is a matrix product of all tiles `[tiles, C] @ [C, O]`. As
sum(y * convolution(x, k)) = sum((A^T y) * (G k) * (B x)), the gradient in the kernel is made of the same three.

Of N images: x `[N, h, w, C]`, k `[r, r, C, O]`, y `[N, ., ., O]`. Sums are taken in float32 at least.

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

# Below so many channels on either side, adding up the tiles costs what the multiplications saved.
FEWEST_CHANNELS = {2: 64, 3: 32}


def is_faster(kernel: tuple[int, int], channels: int, features: int) -> bool:
    """Whether there is a filter for this kernel, faster than its windows."""
    rows, columns = kernel
    return rows == columns and rows in FILTERS and min(channels, features) >= FEWEST_CHANNELS[rows]


def correlate(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """The convolution of stride 1 of x with zeros around it."""
    size, features = len(kernel), kernel.shape[-1]
    x, height, width = _whole_tiles(x, pads, size)
    products = jnp.matmul(_input_tiles(x, size), _kernel_tiles(kernel))
    shape = (size + 1, size + 1, x.shape[0], -(-height // 2), -(-width // 2), features)
    tiles = _transformed(FILTERS[size].outputs, barrier(products).reshape(shape))
    y = jnp.stack([jnp.stack(row, axis=3) for row in tiles], axis=2)  # [N, h / 2, 2, w / 2, 2, O]
    return y.reshape(x.shape[0], 2 * shape[3], 2 * shape[4], features)[:, :height, :width]


def transposed_correlate(y: jax.Array, kernel: jax.Array, pads: Pads, image: tuple[int, int]) -> jax.Array:
    """The x `[N, *image, C]` of sum(x * transposed_correlate(y, k)) = sum(y * correlate(x, k)).

    `correlate` of y and the kernel turned round is the same. It is faster where it takes no more tiles: here they
    overlap and are added up.
    """
    size, (height, width) = len(kernel), y.shape[1:3]
    tiles = _output_tiles(pad(y, ((0, height % 2), (0, width % 2))), size)
    products = jnp.matmul(tiles, barrier(_kernel_tiles(kernel).swapaxes(1, 2)))
    shape = (size + 1, size + 1, y.shape[0], -(-height // 2), -(-width // 2), kernel.shape[2])
    shares = _transformed(_transpose(FILTERS[size].inputs), barrier(products).reshape(shape))
    (top, _), (left, _) = pads
    columns = [
        barrier(_sum([_spread(row[j], 1, i - top, image[0]) for i, row in enumerate(shares)])) for j in range(size + 1)
    ]
    return _sum([_spread(column, 2, j - left, image[1]) for j, column in enumerate(columns)])


def kernel_gradient(x: jax.Array, y: jax.Array, pads: Pads, size: int) -> jax.Array:
    """The k `[size, size, C, O]` of sum(k * kernel_gradient(x, y)) = sum(y * correlate(x, k))."""
    x, height, width = _whole_tiles(x, pads, size)
    # A tall product is slow with the sum over the rows of both; a transpose that XLA cannot fold in costs less.
    inputs = barrier(_input_tiles(x, size).swapaxes(1, 2))
    products = jnp.matmul(inputs, _output_tiles(pad(y, ((0, height % 2), (0, width % 2))), size))
    grid = barrier(products).reshape(size + 1, size + 1, *products.shape[1:])
    return jnp.stack([jnp.stack(row) for row in _transformed(_transpose(FILTERS[size].kernel), grid)])


def _accurate(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _whole_tiles(x: jax.Array, pads: Pads, size: int) -> tuple[jax.Array, int, int]:
    """x with its zeros and as many more as an even number of outputs reads; the true numbers of outputs."""
    height, width = (n + sum(p) - size + 1 for n, p in zip(x.shape[1:3], pads, strict=True))
    (top, bottom), (left, right) = pads
    padded = pad(_accurate(x), ((top, bottom + height % 2), (left, right + width % 2)))
    return barrier(padded), height, width


def _input_tiles(x: jax.Array, size: int) -> jax.Array:
    """`[(size + 1)^2, tiles, C]`: B x, of the overlapping tiles of x."""
    height, width = (n - size for n in x.shape[1:3])
    starts = range(size + 1)
    tiles = [[x[:, i : i + height : 2, j : j + width : 2] for j in starts] for i in starts]
    return _stacked(FILTERS[size].inputs, tiles)


def _kernel_tiles(kernel: jax.Array) -> jax.Array:
    """`[(size + 1)^2, C, O]`: G k."""
    products = _transformed(FILTERS[len(kernel)].kernel, _accurate(kernel))
    return barrier(jnp.stack([product for row in products for product in row]))


def _output_tiles(y: jax.Array, size: int) -> jax.Array:
    """`[(size + 1)^2, tiles, O]`: A^T y, of the tiles of y."""
    tiles = [[_accurate(y)[:, i::2, j::2] for j in range(2)] for i in range(2)]
    return _stacked(_transpose(FILTERS[size].outputs), tiles)


def _spread(x: jax.Array, axis: int, start: int, size: int) -> jax.Array:
    """The entries of x at start, start + 2, ... of an axis of the given size, zeros between; those outside left out."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (start, size - start - 2 * x.shape[axis] + 1, 1)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


def _stacked(matrix: Matrix, grid: Grid) -> jax.Array:
    products = _transformed(matrix, grid)
    return barrier(jnp.stack([product.reshape(-1, product.shape[-1]) for row in products for product in row]))


def _transformed(matrix: Matrix, grid: Grid | jax.Array) -> list[list[jax.Array]]:
    """M g M^T of a grid g."""
    by_rows = [_combined(matrix, [row[j] for row in grid]) for j in range(len(grid[0]))]
    return [_combined(matrix, [column[i] for column in by_rows]) for i in range(len(matrix))]


def _combined(matrix: Matrix, terms: Sequence[jax.Array]) -> list[jax.Array]:
    """M t, without the products by 0 and 1."""
    rows = [[t if m == 1 else m * t for m, t in zip(row, terms, strict=True) if m] for row in matrix]
    return [_sum(row) for row in rows]


def _sum(terms: Sequence[jax.Array]) -> jax.Array:
    return sum(terms[1:], terms[0])


def _transpose(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))
