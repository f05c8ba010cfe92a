"""Factorized codes: a vector is projected to few dimensions, quantized there, and projected back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.quantizers._quantizer import Quantized, Quantizer, check_dim


def factorized_quantizer(quantizer: Quantizer, dim: int) -> Quantizer:
    """value = B q(A z), with A `[d, D]` and B `[D, d]` trained: codes of length d for vectors of length D.

    In few dimensions vectors are close to their codes, and more of the codes are used. With `cosine_vector_quantizer`
    this is the quantizer of ViT-VQGAN. It also allows vectors of any length with `finite_scalar_quantizer` and the
    binary quantizers.

    Args:
      quantizer: quantizer of the projected vector; its dim is d.
      dim: D.

    Raises:
      ValueError: if dim is below 1.

    Source: Yu et al. 2022 (arXiv:2110.04627), section 3.2, "factorized codes".
    """
    check_dim(dim)
    project = jax.nn.initializers.lecun_normal()

    def init(key: jax.Array) -> Params:
        codes_key, down_key, up_key = jax.random.split(key, 3)
        trained, buffers = split_buffers(quantizer.init(codes_key))
        down, up = project(down_key, (dim, quantizer.dim)), project(up_key, (quantizer.dim, dim))
        return join_buffers({"down": down, "up": up, "codes": trained}, buffers)

    def down(params: Params, z: jax.Array) -> jax.Array:
        return _product(z.astype(jnp.float32), params["down"])

    def quantize(params: Params, z: jax.Array) -> Quantized:
        codes = quantizer.quantize(_inner_params(params), down(params, z))
        return codes._replace(value=_up(params, codes.value))

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        return quantizer.batch_update(_inner_params(params), key, down(params, zs), indices)

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        trained, buffers = split_buffers(quantizer.fit(_inner_params(params), key, down(params, zs)))
        return join_buffers({**split_buffers(params)[0], "codes": trained}, buffers)

    return Quantizer(
        init=init,
        quantize=quantize,
        lookup=lambda params, indices: _up(params, quantizer.lookup(_inner_params(params), indices)),
        dim=dim,
        num_codes=quantizer.num_codes,
        batch_loss=lambda params, zs: quantizer.batch_loss(_inner_params(params), down(params, zs)),
        batch_update=batch_update,
        fit=fit,
    )


def _inner_params(params: Params) -> Params:
    return join_buffers(params["codes"], split_buffers(params)[1])


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _up(params: Params, code: jax.Array) -> jax.Array:
    # Products first, then sums in a fixed order, however the function is mapped or fused. Otherwise the value of a
    # vector and the value of its indices would differ in the last bits: matrix products of one vector and of a batch
    # round differently, as do a fused and a separate multiplication and addition.
    terms = jax.lax.optimization_barrier(code[:, None] * params["up"])
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
