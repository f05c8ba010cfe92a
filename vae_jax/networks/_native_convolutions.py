"""Convolution and its two transposes by XLA's convolution, for GPUs and TPUs.

Shapes for N images: x `[N, H, W, C]`, k `[kh, kw, C, O]`, y `[N, h, w, O]`.
"""

from __future__ import annotations

import jax

from vae_jax.networks._convolution_geometry import Geometry


def output(x: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    padding = [(geometry.padding, geometry.padding)] * 2
    strides = (geometry.stride, geometry.stride)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def image(y: jax.Array, kernel: jax.Array, *, geometry: Geometry) -> jax.Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *geometry.image, kernel.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: output(x, kernel, geometry=geometry), x)(y)[0]


def kernel(x: jax.Array, y: jax.Array, *, geometry: Geometry) -> jax.Array:
    k = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: output(x, k, geometry=geometry), k)(y)[0]
