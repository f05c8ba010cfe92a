"""Layout changes that turn a convolution of any stride into one of stride 1 over blocks of stride x stride pixels."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.networks._convolution_geometry import Geometry

Pads = tuple[tuple[int, int], tuple[int, int]]  # (before, after) for rows, (before, after) for columns


class Blocks(NamedTuple):
    """Geometry of the equivalent convolution of stride 1 over blocks."""

    size: tuple[int, int]  # H', W': the image in blocks
    kernel: tuple[int, int]  # the kernel in blocks
    pads: Pads  # padding in blocks
    offset: int  # number of zeros before the first pixel in the first block


def blocks_of(geometry: Geometry) -> Blocks:
    stride, padding = geometry.stride, geometry.padding
    before, offset = divmod(padding, stride)
    rows, columns = (-(-k // stride) for k in geometry.kernel)
    # The last window ends here; no output reads later pixels, and their blocks are left out.
    ends = [m + k - 1 - before for m, k in zip(geometry.output, (rows, columns), strict=True)]
    height, width = (min(-(-(n + offset) // stride), end) for n, end in zip(geometry.image, ends, strict=True))
    pads = (before, ends[0] - height), (before, ends[1] - width)
    return Blocks((height, width), (rows, columns), pads, offset)


def to_blocks(x: jax.Array, geometry: Geometry) -> jax.Array:
    """`[N, H, W, C]` -> `[N, H', W', stride^2 C]`, the order in a block being row, column, channel."""
    s = geometry.stride
    if s == 1:
        return x
    blocks = blocks_of(geometry)
    (height, width), offset = blocks.size, blocks.offset
    rows, columns = ((offset, s * m - n - offset) for n, m in zip(geometry.image, blocks.size, strict=True))
    x = pad(x, (rows, columns))
    x = x.reshape(-1, height, s, width, s, x.shape[-1]).transpose(0, 1, 3, 2, 4, 5)
    return barrier(x.reshape(-1, height, width, math.prod(x.shape[3:])))


def from_blocks(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Transpose of `to_blocks`."""
    s = geometry.stride
    if s == 1:
        return x
    blocks = blocks_of(geometry)
    (height, width), offset = blocks.size, blocks.offset
    x = x.reshape(-1, height, width, s, s, x.shape[-1] // s**2).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(-1, height * s, width * s, x.shape[-1])
    rows, columns = ((-offset, n + offset - s * m) for n, m in zip(geometry.image, blocks.size, strict=True))
    return pad(x, (rows, columns))


def kernel_to_blocks(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """`[kh, kw, C, O]` -> `[kh', kw', stride^2 C, O]`, padded with zeros to whole blocks."""
    s = geometry.stride
    if s == 1:
        return kernel
    rows, columns = blocks_of(geometry).kernel
    kernel = jnp.pad(kernel, ((0, rows * s - kernel.shape[0]), (0, columns * s - kernel.shape[1]), (0, 0), (0, 0)))
    kernel = kernel.reshape(rows, s, columns, s, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(rows, columns, -1, kernel.shape[-1])


def kernel_from_blocks(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Transpose of `kernel_to_blocks`."""
    s = geometry.stride
    if s == 1:
        return kernel
    rows, columns, depth, features = kernel.shape
    kernel = kernel.reshape(rows, columns, s, s, depth // s**2, features).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(rows * s, columns * s, -1, features)[: geometry.kernel[0], : geometry.kernel[1]]


def pad(x: jax.Array, pads: Pads, axis: int = 1) -> jax.Array:
    """Pads rows (`axis`) and columns (the next axis) with zeros; a negative number crops."""
    if not any(itertools.chain(*pads)):
        return x
    config = [(0, 0, 0)] * x.ndim
    config[axis : axis + 2] = [(before, after, 0) for before, after in pads]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


def barrier(x: jax.Array) -> jax.Array:
    """Keeps XLA from fusing a layout change into each of its consumers, which would repeat it."""
    return jax.lax.optimization_barrier(x)
