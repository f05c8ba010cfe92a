"""Factorized codes: the vector is projected to few dimensions, quantized there, and projected back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.quantizers._quantizer import Quantized, Quantizer, check_dim


def factorized_quantizer(quantizer: Quantizer, dim: int) -> Quantizer:
    """value = B q(A z), with A `[d, D]` and B `[D, d]` trained: codes of d numbers for vectors of D.

    In few dimensions vectors are near their codes, and more of the codes are used. With `cosine_vector_quantizer` it is
    ViT-VQGAN's; it also gives `finite_scalar_quantizer` and the binary ones vectors of any length.

    Args:
      quantizer: of the projected vector; its dim is d.
      dim: D.

    Raises:
      ValueError: where dim is below 1.

    Source: Yu et al. 2022 (arXiv:2110.04627), section 3.2, "factorized codes".
    """
    check_dim(dim)
    project = jax.nn.initializers.lecun_normal()

    def init(key: jax.Array) -> Params:
        own_key, down_key, up_key = jax.random.split(key, 3)
        trained, buffers = split_buffers(quantizer.init(own_key))
        down, up = project(down_key, (dim, quantizer.dim)), project(up_key, (quantizer.dim, dim))
        return join_buffers({"down": down, "up": up, "codes": trained}, buffers)

    def down(params: Params, z: jax.Array) -> jax.Array:
        return _product(z.astype(jnp.float32), params["down"])

    def quantize(params: Params, z: jax.Array) -> Quantized:
        codes = quantizer.quantize(_own(params), down(params, z))
        return codes._replace(value=_up(params, codes.value))

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        return quantizer.batch_update(_own(params), key, down(params, zs), indices)

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        trained, buffers = split_buffers(quantizer.fit(_own(params), key, down(params, zs)))
        return join_buffers({**split_buffers(params)[0], "codes": trained}, buffers)

    return Quantizer(
        init=init,
        quantize=quantize,
        lookup=lambda params, indices: _up(params, quantizer.lookup(_own(params), indices)),
        dim=dim,
        num_codes=quantizer.num_codes,
        batch_loss=lambda params, zs: quantizer.batch_loss(_own(params), down(params, zs)),
        batch_update=batch_update,
        fit=fit,
    )


def _own(params: Params) -> Params:
    return join_buffers(params["codes"], split_buffers(params)[1])


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _up(params: Params, code: jax.Array) -> jax.Array:
    # Products first, then sums in one order, whatever is mapped or fused around it. A matrix product of one vector and
    # of a batch of them, or a product joined to a sum without rounding, would make the value of a vector and that of
    # its indices differ in their last bits.
    terms = jax.lax.optimization_barrier(code[:, None] * params["up"])
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
