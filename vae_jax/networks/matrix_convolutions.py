"""The convolution and its two transposes as matrix products over the whole batch: what a CPU runs.

Of N images: x `[N, H, W, C]`, k `[kh, kw, C, O]`, y `[N, h, w, O]`. Cut into blocks of stride x stride pixels, every
convolution is one of stride 1, of blocks X `[N, H', W', D]`, D = stride^2 C. It is then one matrix product on the
windows of whichever side has fewer channels: on the windows of X where D <= O, else a product of X that gives every
window's share, added up where they overlap.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.networks.convolution_geometry import Geometry

Pads = tuple[tuple[int, int], tuple[int, int]]


class Blocks(NamedTuple):
    """A convolution of stride 1 that is the given one, of blocks."""

    size: tuple[int, int]  # H', W'
    kernel: tuple[int, int]  # in blocks
    pads: Pads  # of the blocks, in blocks: before and after, for rows and columns
    offset: int  # zeros before the first pixel of the first block


def blocks_of(geometry: Geometry) -> Blocks:
    stride, padding = geometry.stride, geometry.padding
    before, offset = divmod(padding, stride)
    kernel = tuple(-(-k // stride) for k in geometry.kernel)
    # Pixels behind the last window are read by nobody, and their blocks left out.
    size = tuple(
        min(-(-(n + offset) // stride), m + k - 1 - before)
        for n, m, k in zip(geometry.image, geometry.output, kernel, strict=True)
    )
    pads = tuple((before, m + k - 1 - before - n) for n, m, k in zip(size, geometry.output, kernel, strict=True))
    return Blocks(size, kernel, pads, offset)  # type: ignore[arg-type]


def output(x: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    """`convolution(x, k)`."""
    blocks = blocks_of(geometry)
    return correlate(to_blocks(x, geometry), kernel_to_blocks(kernel, geometry), blocks.pads).astype(x.dtype)


def image(y: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    """The x of sum(x * image(y, k)) = sum(y * convolution(x, k))."""
    blocks = blocks_of(geometry)
    # The transpose of a correlation of stride 1 is one with the kernel turned round.
    turned = kernel_to_blocks(kernel, geometry)[::-1, ::-1].swapaxes(2, 3)
    pads = tuple((k - 1 - a, k - 1 - b) for k, (a, b) in zip(blocks.kernel, blocks.pads, strict=True))
    return from_blocks(correlate(y, turned, pads).astype(y.dtype), geometry)  # type: ignore[arg-type]


def kernel(x: jax.Array, y: jax.Array, *, geometry: Geometry) -> jax.Array:
    """The k of sum(k * kernel(x, y)) = sum(y * convolution(x, k))."""
    blocks = blocks_of(geometry)
    rows, columns = blocks.kernel
    x = to_blocks(x, geometry)
    depth, features = x.shape[-1], y.shape[-1]
    if depth <= features:
        k = tall_product(y, windows(x, blocks.kernel, blocks.pads)).reshape(features, rows, columns, depth)
        k = k.transpose(1, 2, 3, 0)
    else:
        pads = tuple((n - 1 - a, n - 1 - b) for n, (a, b) in zip(blocks.kernel, blocks.pads, strict=True))
        k = tall_product(x, windows(y, blocks.kernel, pads)).reshape(depth, rows, columns, features)  # type: ignore[arg-type]
        k = k[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    return kernel_from_blocks(k, geometry).astype(x.dtype)


def correlate(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """Of stride 1: `[N, h, w, C]`, `[kh, kw, C, O]` -> `[N, ., ., O]`."""
    rows, columns, channels, features = kernel.shape
    if channels <= features:
        return product(windows(x, (rows, columns), pads), kernel.reshape(-1, features))
    shares = product(x, kernel.transpose(2, 0, 1, 3).reshape(channels, -1))
    return overlap_add(shares.reshape(*x.shape[:3], rows, columns, features), pads)


def windows(x: jax.Array, kernel: tuple[int, int], pads: Pads) -> jax.Array:
    """`[N, h, w, C]` -> `[N, ., ., kh kw C]`: at each place its window, laid out row, column, channel."""
    if kernel == (1, 1):
        return x
    x = barrier(pad(x, pads))
    height, width = (n - k + 1 for n, k in zip(x.shape[1:3], kernel, strict=True))
    places = itertools.product(range(kernel[0]), range(kernel[1]))
    return barrier(jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in places], axis=-1))


def overlap_add(shares: jax.Array, pads: Pads) -> jax.Array:
    """`[N, h, w, kh, kw, O]` -> `[N, ., ., O]`: sum over (i, j) of shares[:, row + i, column + j, i, j]."""
    rows, columns, features = shares.shape[3:]
    if (rows, columns) == (1, 1):
        return shares[:, :, :, 0, 0]
    shares = barrier(pad(shares.reshape(*shares.shape[:3], -1), pads))
    height, width = shares.shape[1] - rows + 1, shares.shape[2] - columns + 1
    places = itertools.product(range(rows), range(columns))
    parts = [
        shares[:, i : i + height, j : j + width, n * features : (n + 1) * features] for n, (i, j) in enumerate(places)
    ]
    return sum(parts[1:], parts[0])


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """`[..., K] @ [K, M]`."""
    rows = a.reshape(-1, a.shape[-1])
    result = jnp.dot(rows, b, preferred_element_type=jnp.float32)
    return result.reshape(*a.shape[:-1], b.shape[-1])


def tall_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """`[..., K]`, `[..., M]` -> `[K, M]`: a^T b, a being the narrower one."""
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    # XLA runs a product over the rows of both at half speed; a transpose that it cannot fold in costs less.
    return jnp.dot(barrier(a.T), b, preferred_element_type=jnp.float32)


def to_blocks(x: jax.Array, geometry: Geometry) -> jax.Array:
    """`[N, H, W, C]` -> `[N, H', W', stride^2 C]`, each block laid out row, column, channel."""
    s = geometry.stride
    if s == 1:
        return x
    blocks = blocks_of(geometry)
    (height, width), offset = blocks.size, blocks.offset
    pads = tuple((offset, s * m - n - offset) for n, m in zip(geometry.image, blocks.size, strict=True))
    x = pad(x, pads)  # type: ignore[arg-type]
    x = x.reshape(-1, height, s, width, s, x.shape[-1]).transpose(0, 1, 3, 2, 4, 5)
    return barrier(x.reshape(-1, height, width, math.prod(x.shape[3:])))


def from_blocks(x: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of `to_blocks`."""
    s = geometry.stride
    if s == 1:
        return x
    blocks = blocks_of(geometry)
    (height, width), offset = blocks.size, blocks.offset
    x = x.reshape(-1, height, width, s, s, x.shape[-1] // s**2).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(-1, height * s, width * s, x.shape[-1])
    pads = tuple((-offset, n + offset - s * m) for n, m in zip(geometry.image, blocks.size, strict=True))
    return pad(x, pads)  # type: ignore[arg-type]


def kernel_to_blocks(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """`[kh, kw, C, O]` -> `[kh', kw', stride^2 C, O]`, zeros where a block is not wholly under the kernel."""
    s = geometry.stride
    if s == 1:
        return kernel
    rows, columns = blocks_of(geometry).kernel
    kernel = jnp.pad(kernel, ((0, rows * s - kernel.shape[0]), (0, columns * s - kernel.shape[1]), (0, 0), (0, 0)))
    kernel = kernel.reshape(rows, s, columns, s, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(rows, columns, -1, kernel.shape[-1])


def kernel_from_blocks(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of `kernel_to_blocks`."""
    s = geometry.stride
    if s == 1:
        return kernel
    rows, columns, depth, features = kernel.shape
    kernel = kernel.reshape(rows, columns, s, s, depth // s**2, features).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(rows * s, columns * s, -1, features)[: geometry.kernel[0], : geometry.kernel[1]]


def pad(x: jax.Array, pads: Pads) -> jax.Array:
    """Zeros around rows and columns of `[N, h, w, C]`; a negative number cuts off."""
    if not any(itertools.chain(*pads)):
        return x
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((a, b, 0) for a, b in pads), (0, 0, 0)])


def barrier(x: jax.Array) -> jax.Array:
    """What keeps XLA from fusing a layout pass into each of its readers, which would repeat it there."""
    return jax.lax.optimization_barrier(x)
