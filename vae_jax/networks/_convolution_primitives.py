"""Convolution as three JAX primitives: matrix products on a CPU, native convolutions elsewhere, under all transforms.

With image x, kernel k and output y, T(x, k, y) = sum(y * convolution(x, k)) is linear in each of the three. Its
gradients are the three primitives: `output` (the convolution), `image` (the transposed convolution, the gradient of the
convolution in its image) and `kernel` (the gradient of both in the kernel). Each primitive is linear in both operands,
and its derivatives are the other two primitives, so that jvp and grad compose in any order. Each takes a batch, so that
vmap composes too. (`jax.custom_vjp` does not give a gradient of the whole batch for functions of one image: under vmap
it computes one kernel gradient per image, and `custom_vmap` has no reverse mode.)

Shapes for G models of N images each: x `[G, N, H, W, C]`, k `[G, kh, kw, C, O]`, y `[G, N, h, w, O]`. vmap over images
only is folded into N, vmap over kernels into G.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from vae_jax.networks import _matrix_convolutions as matrix_convolutions
from vae_jax.networks import _native_convolutions as native_convolutions
from vae_jax.networks._convolution_geometry import Geometry

output_p = Primitive("convolution_output")
image_p = Primitive("convolution_image")
kernel_p = Primitive("convolution_kernel")


def output_aval(x: Any, kernel: Any, *, geometry: Geometry) -> ShapedArray:
    return ShapedArray((*x.shape[:2], *geometry.output, kernel.shape[-1]), x.dtype)


def image_aval(y: Any, kernel: Any, *, geometry: Geometry) -> ShapedArray:
    return ShapedArray((*y.shape[:2], *geometry.image, kernel.shape[-2]), y.dtype)


def kernel_aval(x: Any, y: Any, *, geometry: Geometry) -> ShapedArray:
    return ShapedArray((x.shape[0], *geometry.kernel, x.shape[-1], y.shape[-1]), x.dtype)


ad.defbilinear(
    output_p,
    lambda y, x, kernel, geometry: image_p.bind(y, kernel, geometry=geometry),
    lambda y, x, kernel, geometry: kernel_p.bind(x, y, geometry=geometry),
)
ad.defbilinear(
    image_p,
    lambda x, y, kernel, geometry: output_p.bind(x, kernel, geometry=geometry),
    lambda x, y, kernel, geometry: kernel_p.bind(x, y, geometry=geometry),
)
ad.defbilinear(
    kernel_p,
    lambda kernel, x, y, geometry: image_p.bind(y, kernel, geometry=geometry),
    lambda kernel, x, y, geometry: output_p.bind(x, kernel, geometry=geometry),
)


def map_over_models(primitive: Primitive, operands: Any, dims: Any, *, geometry: Geometry) -> tuple[jax.Array, int]:
    """Batching rule that folds the mapped axis of both operands into G."""
    size = next(a.shape[d] for a, d in zip(operands, dims, strict=True) if d is not None)

    def folded(a: jax.Array, d: int | None) -> jax.Array:
        a = jnp.broadcast_to(a, (size, *a.shape)) if d is None else jnp.moveaxis(a, d, 0)
        return a.reshape(size * a.shape[1], *a.shape[2:])

    result = primitive.bind(*map(folded, operands, dims), geometry=geometry)
    return result.reshape(size, -1, *result.shape[1:]), 0


def map_over_images(primitive: Primitive, operands: Any, dims: Any, *, geometry: Geometry) -> tuple[jax.Array, int]:
    """Batching rule that folds the mapped axis of the images into N, or into G if the kernels are mapped too."""
    images, kernel = operands
    if dims[1] is not None:
        return map_over_models(primitive, operands, dims, geometry=geometry)
    images = jnp.moveaxis(images, dims[0], 1)
    models, size = images.shape[:2]
    result = primitive.bind(images.reshape(models, -1, *images.shape[3:]), kernel, geometry=geometry)
    return result.reshape(models, size, -1, *result.shape[2:]), 1


def register(
    primitive: Primitive, aval: Any, batcher: Any, native: Callable[..., Any], matrix: Callable[..., Any]
) -> None:
    """Registers the shape rule, the batching rule and the lowerings of a primitive."""
    primitive.def_abstract_eval(aval)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames="geometry"))
    batching.primitive_batchers[primitive] = partial(batcher, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(over_models(native), multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(over_models(matrix), multiple_results=False), platform="cpu")


def over_models(function: Callable[..., Any]) -> Callable[..., Any]:
    """Maps a function of one model's arrays over G; for G = 1 without a vmap, which XLA would not remove."""

    def mapped(a: jax.Array, b: jax.Array, *, geometry: Geometry) -> jax.Array:
        for_one_model = partial(function, geometry=geometry)
        return for_one_model(a[0], b[0])[None] if a.shape[0] == 1 else jax.vmap(for_one_model)(a, b)

    return mapped


register(output_p, output_aval, map_over_images, native_convolutions.output, matrix_convolutions.output)
register(image_p, image_aval, map_over_images, native_convolutions.image, matrix_convolutions.image)
register(kernel_p, kernel_aval, map_over_models, native_convolutions.kernel, matrix_convolutions.kernel)
