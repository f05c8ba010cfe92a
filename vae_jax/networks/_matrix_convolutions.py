"""Convolution and its two transposes as matrix products over the whole batch, for CPUs.

Shapes for N images: x `[N, H, W, C]`, k `[kh, kw, C, O]`, y `[N, h, w, O]`. In blocks of stride x stride pixels, every
convolution has stride 1, with an image X `[N, H', W', D]`, D = stride^2 C. With many channels on both sides, it is
computed by Winograd's products. Otherwise it is one matrix product: of the windows of X if D <= O, else of X itself,
which gives the contributions of every pixel, summed where they overlap.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from vae_jax.networks import _winograd as winograd
from vae_jax.networks._blocks import (
    Blocks,
    Pads,
    barrier,
    blocks_of,
    from_blocks,
    kernel_from_blocks,
    kernel_to_blocks,
    pad,
    to_blocks,
)
from vae_jax.networks._convolution_geometry import Geometry


def output(x: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    """`convolution(x, k)`."""
    blocks = blocks_of(geometry)
    return correlate(to_blocks(x, geometry), kernel_to_blocks(kernel, geometry), blocks.pads).astype(x.dtype)


def image(y: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    """Transpose of `convolution` in x: sum(x * image(y, k)) = sum(y * convolution(x, k))."""
    blocks = blocks_of(geometry)
    kernel = kernel_to_blocks(kernel, geometry)
    if winograd.is_faster(blocks.kernel, *kernel.shape[2:]) and tiles(geometry.output) < tiles(blocks.size):
        x = winograd.transposed_correlate(y, kernel, blocks.pads, blocks.size)
    else:
        # The transpose of a correlation of stride 1 is a correlation with the rotated kernel.
        x = correlate(y, kernel[::-1, ::-1].swapaxes(2, 3), transposed_pads(blocks))
    return from_blocks(x.astype(y.dtype), geometry)


def kernel(x: jax.Array, y: jax.Array, *, geometry: Geometry) -> jax.Array:
    """Transpose of `convolution` in k: sum(k * kernel(x, y)) = sum(y * convolution(x, k))."""
    blocks = blocks_of(geometry)
    x = to_blocks(x, geometry)
    if winograd.is_faster(blocks.kernel, x.shape[-1], y.shape[-1]):
        k = winograd.kernel_gradient(x, y, blocks.pads, blocks.kernel[0])
    elif x.shape[-1] <= y.shape[-1]:
        k = correlate_batch(x, y, blocks)
    else:
        rotated = correlate_batch(y, x, blocks._replace(pads=transposed_pads(blocks)))
        k = rotated[::-1, ::-1].swapaxes(2, 3)
    return kernel_from_blocks(k, geometry).astype(x.dtype)


def transposed_pads(blocks: Blocks) -> Pads:
    """Padding of the outputs with which the transposed convolution has the size of the blocks."""
    rows, columns = (
        (k - 1 - before, k - 1 - after) for k, (before, after) in zip(blocks.kernel, blocks.pads, strict=True)
    )
    return rows, columns


def correlate_batch(a: jax.Array, b: jax.Array, blocks: Blocks) -> jax.Array:
    """`[N, h, w, C]`, `[N, ., ., O]` -> `[kh, kw, C, O]`: the sum over all places of the window of a times b."""
    rows, columns = blocks.kernel
    # XLA runs a product that sums over the rows of both factors at half speed, and transposes slowly. So only a is
    # transposed, before its windows are taken; the barrier keeps XLA from moving the transpose into the product.
    a = barrier(pad(a.transpose(3, 0, 1, 2), blocks.pads, axis=2))
    height, width = b.shape[1:3]
    places = itertools.product(range(rows), range(columns))
    a = barrier(jnp.concatenate([a[:, :, i : i + height, j : j + width] for i, j in places]))
    k = product(a.reshape(len(a), -1), b.reshape(-1, b.shape[-1]))
    return k.reshape(rows, columns, -1, b.shape[-1])


def correlate(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """Convolution of stride 1: `[N, h, w, C]`, `[kh, kw, C, O]` -> `[N, ., ., O]`."""
    rows, columns, channels, features = kernel.shape
    if winograd.is_faster((rows, columns), channels, features):
        return winograd.correlate(x, kernel, pads)
    if channels <= features:
        return product(windows(x, (rows, columns), pads), kernel.reshape(-1, features))
    shares = product(x, kernel.transpose(2, 0, 1, 3).reshape(channels, -1))
    return overlap_add(shares.reshape(*x.shape[:3], rows, columns, features), pads)


def tiles(size: tuple[int, int]) -> int:
    """Number of 2x2 tiles that cover an array of the given size."""
    return -(-size[0] // 2) * -(-size[1] // 2)


def windows(x: jax.Array, kernel: tuple[int, int], pads: Pads) -> jax.Array:
    """Windows of all places, `[N, h, w, C]` -> `[N, ., ., kh kw C]`, in the order row, column, channel."""
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
    shifted = [
        shares[:, i : i + height, j : j + width, n * features : (n + 1) * features] for n, (i, j) in enumerate(places)
    ]
    return sum(shifted[1:], shifted[0])


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """`[..., K] @ [K, M]`, in float32 at least."""
    rows = a.reshape(-1, a.shape[-1])
    result = jnp.dot(rows, b, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32))
    return result.reshape(*a.shape[:-1], b.shape[-1])
