"""The code nearest to a vector, and the losses that draw the two together."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from vae_jax.params import Params
from vae_jax.quantizers._gradients import Estimator
from vae_jax.quantizers._quantizer import Quantized


def nearest_code(z: jax.Array, codebook: jax.Array) -> jax.Array:
    """argmin over k of |z - codebook[k]|^2: the lowest such k, int32.

    |z|^2 is the same for all codes and is left out; the rest is taken from the codebook's mean, so that codes far from
    the origin, and close to one another, keep the digits that tell them apart. In float32, as a matrix product: two
    distances that differ by less than about 1e-7 times the codebook's spread, squared, may be taken for one another.

    Args:
      z: `[D]`.
      codebook: `[K, D]`.
    """
    chex.assert_rank([z, codebook], [1, 2])
    z, codebook = z.astype(jnp.float32), codebook.astype(jnp.float32)
    center = jnp.mean(codebook, axis=0)
    z, codes = z - center, codebook - center[None]
    # Accelerators round the factors of a product to fewer bits unless they are asked.
    along = jnp.matmul(codes, z, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin(0.5 * jnp.sum(jnp.square(codes), axis=1) - along).astype(jnp.int32)


def look_up(codebook: jax.Array, index: jax.Array) -> jax.Array:
    """`codebook[index]`; NaN where the index is outside, never another code: checks of a picture would not see it."""
    # The codes as an array of its own: what they are computed from (unit vectors, a map) would be joined to the gather
    # in one program and not in the next, and differ in its last bits.
    codebook = jax.lax.optimization_barrier(codebook)
    return codebook.at[jnp.where(index < 0, codebook.shape[0], index)].get(mode="fill", fill_value=jnp.nan)


Loss = Callable[[jax.Array, jax.Array], jax.Array]  # (z [D], code [D]) -> a scalar


def commitment_loss(weight: float) -> Loss:
    """weight |z - sg(code)|^2: it moves the encoder alone, sg being `stop_gradient`."""
    return lambda z, code: weight * jnp.sum(jnp.square(z - jax.lax.stop_gradient(code)))


def codebook_and_commitment_loss(weight: float) -> Loss:
    """|sg(z) - code|^2 + weight |z - sg(code)|^2: the first moves the code alone, the second the encoder alone."""
    commitment = commitment_loss(weight)
    return lambda z, code: jnp.sum(jnp.square(jax.lax.stop_gradient(z) - code)) + commitment(z, code)


def quantize_nearest(
    z: jax.Array,
    codebook: jax.Array,
    loss: Loss,
    gradient: Estimator,
    project: Callable[[jax.Array], jax.Array] = lambda z: z,
) -> Quantized:
    """z (projected, in float32) at its nearest code.

    Args:
      z: `[D]`.
      codebook: `[K, D]`, its codes projected already.
      loss: between z and its code.
      gradient: from the value to z.
      project: where codes lie, for example on the unit sphere.
    """
    chex.assert_shape(z, codebook.shape[1:])
    z = project(z.astype(jnp.float32))
    index = nearest_code(jax.lax.stop_gradient(z), jax.lax.stop_gradient(codebook))
    code = look_up(codebook, index)
    return Quantized(gradient(z, jax.lax.stop_gradient(code)), index[None], loss(z, code))


def look_up_first(codes_of: Callable[[Params], jax.Array]) -> Callable[[Params, jax.Array], jax.Array]:
    """The `lookup` of a quantizer whose one index is of the rows of `codes_of(params)`."""

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        chex.assert_shape(indices, (1,))
        return look_up(codes_of(params), indices[0])

    return lookup


def unit_vector(z: jax.Array) -> jax.Array:
    """z / |z| along the last axis; 0 at 0, with a finite gradient."""
    square = jnp.sum(jnp.square(z), axis=-1, keepdims=True)
    # A root and a quotient, both rounded correctly: an approximate inverse root is not the same in every program.
    return z / jnp.sqrt(jnp.maximum(square, 1e-12))
