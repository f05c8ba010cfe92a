"""Passes of a convolution (output and both gradients) by matrix products and by XLA's convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.networks import _matrix_convolutions as matrix_convolutions
from vae_jax.networks import _native_convolutions as native_convolutions


def operands(geometry, channels, features, pass_):
    """Random operands for one pass of a convolution of two images."""
    rng = np.random.default_rng(0)
    x, kernel, y = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in (
            (2, *geometry.image, channels),
            (*geometry.kernel, channels, features),
            (2, *geometry.output, features),
        )
    )
    return {"output": (x, kernel), "image": (y, kernel), "kernel": (x, y)}[pass_]


@partial(jax.jit, static_argnames=("geometry", "pass_"))
def matrix_and_native(*arrays, geometry, pass_):
    """Results of one pass by matrix products and by XLA's convolution, compiled together."""
    return [getattr(module, pass_)(*arrays, geometry=geometry) for module in (matrix_convolutions, native_convolutions)]
