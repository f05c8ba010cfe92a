"""Nearest code of a vector, and the codebook and commitment losses."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from vae_jax.params import Params
from vae_jax.quantizers._gradients import Estimator
from vae_jax.quantizers._quantizer import Quantized


def nearest_code(z: jax.Array, codebook: jax.Array) -> jax.Array:
    """argmin over k of |z - codebook[k]|^2, an int32; the lowest k in a tie.

    |z|^2 is equal for all codes and left out. The codebook's mean is subtracted first, so that codes far from the
    origin and close to each other keep the digits in which they differ. The distances are computed in float32 as a
    matrix product: an error of about 1e-7 times the squared spread of the codebook may change the order of two codes.

    Args:
      z: `[D]`.
      codebook: `[K, D]`.
    """
    chex.assert_rank([z, codebook], [1, 2])
    z, codebook = z.astype(jnp.float32), codebook.astype(jnp.float32)
    center = jnp.mean(codebook, axis=0)
    z, codes = z - center, codebook - center[None]
    # Accelerators round, by default, the factors of a matrix product to fewer bits than float32 has.
    along = jnp.matmul(codes, z, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin(0.5 * jnp.sum(jnp.square(codes), axis=1) - along).astype(jnp.int32)


def look_up(codebook: jax.Array, index: jax.Array) -> jax.Array:
    """`codebook[index]`, or NaN if the index is out of range, where clamping to another code would hide the error."""
    # The barrier keeps XLA from fusing the computation of the codes (unit vectors, a linear map) with the gather in
    # some programs and not in others, which would change the last bits.
    codebook = jax.lax.optimization_barrier(codebook)
    return codebook.at[jnp.where(index < 0, codebook.shape[0], index)].get(mode="fill", fill_value=jnp.nan)


Loss = Callable[[jax.Array, jax.Array], jax.Array]  # (z [D], code [D]) -> a scalar


def commitment_loss(weight: float) -> Loss:
    """weight |z - sg(code)|^2, with sg = `stop_gradient`: its gradient moves the encoder only."""
    return lambda z, code: weight * jnp.sum(jnp.square(z - jax.lax.stop_gradient(code)))


def codebook_and_commitment_loss(weight: float) -> Loss:
    """|sg(z) - code|^2 + weight |z - sg(code)|^2: the first term moves the code only, the second the encoder only."""
    commitment = commitment_loss(weight)
    return lambda z, code: jnp.sum(jnp.square(jax.lax.stop_gradient(z) - code)) + commitment(z, code)


def quantize_nearest(
    z: jax.Array,
    codebook: jax.Array,
    loss: Loss,
    gradient: Estimator,
    project: Callable[[jax.Array], jax.Array] = lambda z: z,
) -> Quantized:
    """Quantizes z, projected and in float32, to the nearest code.

    Args:
      z: `[D]`.
      codebook: `[K, D]`, with codes that are projected already.
      loss: loss of z and its code.
      gradient: gradient estimator from the value to z.
      project: projection of z, for example to the unit sphere.
    """
    chex.assert_shape(z, codebook.shape[1:])
    z = project(z.astype(jnp.float32))
    index = nearest_code(jax.lax.stop_gradient(z), jax.lax.stop_gradient(codebook))
    code = look_up(codebook, index)
    return Quantized(gradient(z, jax.lax.stop_gradient(code)), index[None], loss(z, code))


def codebook_lookup(codes_of: Callable[[Params], jax.Array]) -> Callable[[Params, jax.Array], jax.Array]:
    """Makes the `lookup` of a quantizer with a single index, into the rows of `codes_of(params)`."""

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        chex.assert_shape(indices, (1,))
        return look_up(codes_of(params), indices[0])

    return lookup


def unit_vector(z: jax.Array) -> jax.Array:
    """z / |z| along the last axis; 0 at 0, with a finite gradient."""
    square = jnp.sum(jnp.square(z), axis=-1, keepdims=True)
    # A root and a quotient are rounded correctly; an approximate inverse root may differ between programs.
    return z / jnp.sqrt(jnp.maximum(square, 1e-12))
