"""Convolutions of one image, and convolutional layers.

On a CPU they run as matrix products, elsewhere as XLA's convolutions, with the same values and parameters. XLA's
convolutions are slow to differentiate on a CPU, and tens of times slower still inside the `lax.scan` of an epoch.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.networks._convolution_geometry import Geometry
from vae_jax.networks._convolution_primitives import image_p, output_p


def convolution(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """y[i, j] = sum over (a, b) of x[stride i + a - padding, stride j + b - padding] @ kernel[a, b].

    Args:
      x: `[H, W, C]`, taken as zero outside.
      kernel: `[kh, kw, C, O]`, not flipped (a cross-correlation, as usual in networks).
      stride: step between outputs, in pixels of x, in both directions.
      padding: number of zeros at each of the four sides.

    Returns:
      `[h, w, O]` with h = (H + 2 padding - kh) // stride + 1, and w alike.

    Raises:
      ValueError: if stride is below 1, padding below 0, or the kernel larger than the image with its padding.
    """
    chex.assert_rank([x, kernel], [3, 4])
    chex.assert_shape(kernel, (None, None, x.shape[-1], None))
    x, kernel = _promoted(x, kernel)
    geometry = _checked((x.shape[0], x.shape[1]), kernel, stride, padding)
    return output_p.bind(x[None, None], kernel[None], geometry=geometry)[0, 0]


def transposed_convolution(y: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """Transpose (adjoint) of `convolution` in its image: sum(x * transposed(y)) = sum(y * convolution(x)).

    Args:
      y: `[h, w, O]`.
      kernel: `[kh, kw, C, O]`, the kernel of the convolution.
      stride: stride of the convolution.
      padding: padding of the convolution.

    Returns:
      `[H, W, C]` with H = stride (h - 1) + kh - 2 padding, the smallest image size with an output of height h; W alike.

    Raises:
      ValueError: if stride is below 1, padding below 0, or the image size would be below 1.
    """
    chex.assert_rank([y, kernel], [3, 4])
    chex.assert_shape(kernel, (None, None, None, y.shape[-1]))
    y, kernel = _promoted(y, kernel)
    size = [stride * (n - 1) + k - 2 * padding for n, k in zip(y.shape[:2], kernel.shape[:2], strict=True)]
    geometry = _checked((size[0], size[1]), kernel, stride, padding)
    return image_p.bind(y[None, None], kernel[None], geometry=geometry)[0, 0]


def _checked(image: tuple[int, int], kernel: jax.Array, stride: int, padding: int) -> Geometry:
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be at least 1 and padding at least 0, got {stride} and {padding}")
    rows, columns = kernel.shape[:2]
    if min(image) < 1 or rows > image[0] + 2 * padding or columns > image[1] + 2 * padding:
        raise ValueError(
            f"a kernel of {rows} x {columns} must fit in the padded image of at least 1 x 1, got an image of "
            f"{image[0]} x {image[1]} with a padding of {padding}"
        )
    return Geometry(image, (rows, columns), stride, padding)


def _promoted(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def padding_of(kernel_size: int, stride: int) -> int:
    """(kernel_size - stride) / 2, the padding with which a convolution divides the image size by its stride.

    Raises:
      ValueError: if this is not a whole number of at least 0.
    """
    padding, rest = divmod(kernel_size - stride, 2)
    if padding < 0 or rest:
        raise ValueError(
            f"the kernel size of a layer of stride {stride} must be {stride} plus an even number of at least 0 (4 or 2 "
            f"for a layer that halves the image, 3 or 1 for a layer that keeps its size), got {kernel_size}"
        )
    return padding


class Conv(nn.Module):
    """`[H, W, C]` -> `[H / stride, W / stride, features]`."""

    features: int
    kernel_size: int = 4
    stride: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return convolution(x, kernel, self.stride, padding_of(self.kernel_size, self.stride)) + bias[None, None]


class ConvTranspose(nn.Module):
    """`[h, w, C]` -> `[h stride, w stride, features]`."""

    features: int
    kernel_size: int = 4
    stride: int = 2
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Each output pixel is a sum over kernel_size^2 / stride^2 places of the kernel, with C channels each.
        scale = float(self.stride**2)
        kernel_init = nn.initializers.variance_scaling(scale, "fan_out", "truncated_normal", in_axis=-2, out_axis=-1)
        shape = (self.kernel_size, self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,))
        outputs = transposed_convolution(x, kernel, self.stride, padding_of(self.kernel_size, self.stride))
        return outputs + bias[None, None]
