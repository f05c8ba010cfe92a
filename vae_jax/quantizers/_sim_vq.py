"""Vector quantization with a codebook of fixed vectors under a trained linear map."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vae_jax.params import Params
from vae_jax.quantizers._gradients import Estimator, straight_through
from vae_jax.quantizers._nearest import codebook_and_commitment_loss, codebook_lookup, quantize_nearest
from vae_jax.quantizers._quantizer import Quantizer, check_sizes
from vae_jax.quantizers._vector import check_commitment


def sim_vector_quantizer(
    num_codes: int, dim: int, commitment: float = 0.25, gradient: Estimator = straight_through
) -> Quantizer:
    """`vector_quantizer` with the codes C W: C `[K, D]` random and fixed, W `[D, D]` trained, initially the identity.

    The gradient of every code in use moves all the codes, so that unused codes do not stay behind.

    Source: Zhu et al. 2024 (arXiv:2411.02038), section 4. The initialization of C, N(0, 1 / D), is that of the authors'
    published code.
    """
    check_sizes(num_codes, dim)
    check_commitment(commitment)
    loss = codebook_and_commitment_loss(commitment)

    def init(key: jax.Array) -> Params:
        fixed = jax.random.normal(key, (num_codes, dim)) * dim**-0.5
        return {"map": jnp.eye(dim), "buffers": {"fixed": fixed}}

    def codes_of(params: Params) -> jax.Array:
        fixed = jax.lax.stop_gradient(params["buffers"]["fixed"])
        return jnp.matmul(fixed, params["map"], precision=jax.lax.Precision.HIGHEST)

    return Quantizer(
        init=init,
        quantize=lambda params, z: quantize_nearest(z, codes_of(params), loss, gradient),
        lookup=codebook_lookup(codes_of),
        dim=dim,
        num_codes=(num_codes,),
    )
