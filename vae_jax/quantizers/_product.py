"""Product quantization: each part of a vector has its own codebook."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.params import Params, split_buffers
from vae_jax.quantizers._quantizer import Quantized, Quantizer, check_dim


def product_quantizer(quantizer: Quantizer, num_heads: int) -> Quantizer:
    """value = concatenation of the heads' values, one head per part of z; loss = sum of the heads' losses.

    H codebooks of K codes give K^H values. With a `residual_quantizer`, this is grouped-residual quantization.

    Args:
      quantizer: quantizer of each head, with separate parameters; its dim is the length of a part.
      num_heads: H; D and P are H times the D and P of a head.

    Raises:
      ValueError: if num_heads is below 1.

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

    def split(rows: jax.Array) -> jax.Array:
        """Splits rows into heads: `[N, H * n]` -> `[H, N, n]`."""
        return jnp.stack(jnp.split(rows, num_heads, axis=1))

    def batch_loss(params: Params, zs: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(quantizer.batch_loss)(_heads(params), split(zs)))

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        keys = jax.random.split(key, num_heads)
        buffers = jax.vmap(quantizer.batch_update)(_heads(params), keys, split(zs), split(indices))
        return None if buffers is None else {"heads": buffers}

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        return _nested(jax.vmap(quantizer.fit)(_heads(params), jax.random.split(key, num_heads), split(zs)))

    dim, num_codes = quantizer.dim * num_heads, quantizer.num_codes * num_heads
    return Quantizer(init, quantize, lookup, dim, num_codes, batch_loss, batch_update, fit)


def head_dim(dim: int, num_heads: int) -> int:
    """dim / num_heads, the length of the part of a head.

    Raises:
      ValueError: if num_heads does not divide dim.
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
