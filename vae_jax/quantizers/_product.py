"""Product quantization: parts of a vector, each with a codebook of its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.params import Params, split_buffers
from vae_jax.quantizers._quantizer import Quantized, Quantizer, check_dim


def product_quantizer(quantizer: Quantizer, num_heads: int) -> Quantizer:
    """value = the heads' values one after another, z cut into as many parts; loss = the sum of the heads'.

    K^heads values from heads codebooks of K. Of a `residual_quantizer` it is grouped-residual quantization.

    Args:
      quantizer: of each head, with parameters of its own; its dim is the length of a part.
      num_heads: H; D and P are H times those of a head.

    Raises:
      ValueError: where num_heads is below 1.

    Source: Jegou et al. 2011 [jegou2011product], section II.B; multi-head codes as in Mama et al. 2021
    (arXiv:2106.04283).
    """
    check_count("num_heads", num_heads, most=LARGEST_SIZE)

    def init(key: jax.Array) -> Params:
        return _nested(jax.vmap(quantizer.init)(jax.random.split(key, num_heads)))

    def quantize(params: Params, z: jax.Array) -> Quantized:
        heads = jax.vmap(quantizer.quantize)(_heads(params), jnp.stack(jnp.split(z, num_heads)))
        return Quantized(heads.value.ravel(), heads.indices.ravel(), jnp.sum(heads.loss))

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        return jax.vmap(quantizer.lookup)(_heads(params), jnp.stack(jnp.split(indices, num_heads))).ravel()

    def cut(rows: jax.Array) -> jax.Array:
        """`[N, H * n]` -> `[H, N, n]`."""
        return jnp.stack(jnp.split(rows, num_heads, axis=1))

    def batch_loss(params: Params, zs: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(quantizer.batch_loss)(_heads(params), cut(zs)))

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        keys = jax.random.split(key, num_heads)
        buffers = jax.vmap(quantizer.batch_update)(_heads(params), keys, cut(zs), cut(indices))
        return None if buffers is None else {"heads": buffers}

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        return _nested(jax.vmap(quantizer.fit)(_heads(params), jax.random.split(key, num_heads), cut(zs)))

    dim, num_codes = quantizer.dim * num_heads, quantizer.num_codes * num_heads
    return Quantizer(init, quantize, lookup, dim, num_codes, batch_loss, batch_update, fit)


def head_dim(dim: int, num_heads: int) -> int:
    """dim / num_heads, the length of a head's part.

    Raises:
      ValueError: where num_heads does not divide dim.
    """
    check_dim(dim)
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"num_heads must divide the length of a code, dim = {dim}, got {num_heads}")
    return dim // num_heads


def _nested(params: Params) -> Params:
    trained, buffers = split_buffers(params)
    return {"heads": trained} | ({} if buffers is None else {"buffers": {"heads": buffers}})


def _heads(params: Params) -> Params:
    return {**params["heads"], **({"buffers": params["buffers"]["heads"]} if "buffers" in params else {})}
