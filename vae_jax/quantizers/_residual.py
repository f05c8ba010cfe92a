"""Residual quantization: each stage quantizes what the stages before it have left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import check_count
from vae_jax.params import Params, join_buffers, split_buffers
from vae_jax.quantizers._gradients import Estimator, straight_through
from vae_jax.quantizers._quantizer import Quantized, Quantizer


def residual_quantizer(quantizer: Quantizer, num_stages: int, gradient: Estimator = straight_through) -> Quantizer:
    """value = sum of the stages' codes, r_1 = z, r_(s + 1) = r_s - sg(code of r_s); loss = the sum of the stages'.

    The gradient passes the sum once, by one estimator: through each stage's own it would come as often as there are
    stages. `product_quantizer(residual_quantizer(...), heads)` is grouped-residual quantization.

    Args:
      quantizer: of each stage, with parameters of its own; one whose codes learn by its loss or by moving averages.
      num_stages: S; P is S times that of a stage.
      gradient: from the sum to z.

    Raises:
      ValueError: where num_stages is below 1.

    Source: Zeghidour et al. 2021 (arXiv:2107.03312), section III.C; Yang et al. 2023 (arXiv:2305.02765), for groups.
    """
    check_count("num_stages", num_stages, most=1024)
    parts = len(quantizer.num_codes)

    def init(key: jax.Array) -> Params:
        return _together([quantizer.init(k) for k in jax.random.split(key, num_stages)])

    def quantize(params: Params, z: jax.Array) -> Quantized:
        left, total, indices, loss = z.astype(jnp.float32), jnp.zeros(quantizer.dim), [], jnp.zeros(())
        for stage in _stages(params):
            one = quantizer.quantize(stage, left)
            code = jax.lax.stop_gradient(one.value)
            left, total, loss = left - code, total + code, loss + one.loss
            indices.append(one.indices)
        return Quantized(gradient(z.astype(jnp.float32), total), jnp.concatenate(indices), loss)

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        total = jnp.zeros(quantizer.dim)
        for stage, own in zip(_stages(params), jnp.split(indices, num_stages), strict=True):
            total = total + quantizer.lookup(stage, own)
        return total

    def batch_loss(params: Params, zs: jax.Array) -> jax.Array:
        losses, left = jnp.zeros(()), zs.astype(jnp.float32)
        for stage in _stages(params):
            losses = losses + quantizer.batch_loss(stage, left)
            left = left - jax.lax.stop_gradient(_values(quantizer, stage, left))
        return losses

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        buffers, left = {}, zs.astype(jnp.float32)
        for i, (stage, stage_key) in enumerate(zip(_stages(params), jax.random.split(key, num_stages), strict=True)):
            own = indices[:, i * parts : (i + 1) * parts]
            updated = quantizer.batch_update(stage, stage_key, left, own)
            if updated is not None:
                buffers[_name(i)] = updated
            left = left - jax.vmap(quantizer.lookup, (None, 0))(stage, own)
        return buffers or None

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        fitted, left = [], zs.astype(jnp.float32)
        for stage, stage_key in zip(_stages(params), jax.random.split(key, num_stages), strict=True):
            fitted.append(quantizer.fit(stage, stage_key, left))
            left = left - _values(quantizer, fitted[-1], left)
        return _together(fitted)

    return Quantizer(
        init, quantize, lookup, quantizer.dim, quantizer.num_codes * num_stages, batch_loss, batch_update, fit
    )


def _values(quantizer: Quantizer, params: Params, zs: jax.Array) -> jax.Array:
    return jax.vmap(lambda z: quantizer.quantize(params, z).value)(zs)


def _name(stage: int) -> str:
    return f"stage_{stage}"


def _together(stages: list[Params]) -> Params:
    """One dict of all stages, their buffers under one key "buffers"."""
    split = [split_buffers(stage) for stage in stages]
    trained = {_name(i): own for i, (own, _) in enumerate(split)}
    buffers = {_name(i): own for i, (_, own) in enumerate(split) if own is not None}
    return join_buffers(trained, buffers or None)


def _stages(params: Params) -> Iterator[Params]:
    trained, buffers = split_buffers(params)
    return (join_buffers(trained[_name(i)], (buffers or {}).get(_name(i))) for i in range(len(trained)))
