"""Residual quantization: each stage quantizes the residual of the previous stages."""

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
    """value = sum of the stages' codes, r_1 = z, r_(s + 1) = r_s - sg(code of r_s); loss = sum of the stages' losses.

    One gradient estimator maps the gradient of the sum to z: estimators of the stages would multiply it by the number
    of stages. `product_quantizer(residual_quantizer(...), heads)` is grouped-residual quantization.

    Args:
      quantizer: quantizer of each stage, with separate parameters; its codes must learn by its loss or by moving
        averages.
      num_stages: S; P is S times the number of indices of a stage.
      gradient: gradient estimator from the sum to z.

    Raises:
      ValueError: if num_stages is below 1.

    Source: Zeghidour et al. 2021 (arXiv:2107.03312), section III.C; Yang et al. 2023 (arXiv:2305.02765), for groups.
    """
    check_count("num_stages", num_stages, most=1024)
    indices_per_stage = len(quantizer.num_codes)

    def init(key: jax.Array) -> Params:
        return _join_stages([quantizer.init(k) for k in jax.random.split(key, num_stages)])

    def quantize(params: Params, z: jax.Array) -> Quantized:
        residual, total, indices, loss = z.astype(jnp.float32), jnp.zeros(quantizer.dim), [], jnp.zeros(())
        for stage in _stages(params):
            quantized = quantizer.quantize(stage, residual)
            code = jax.lax.stop_gradient(quantized.value)
            residual, total, loss = residual - code, total + code, loss + quantized.loss
            indices.append(quantized.indices)
        return Quantized(gradient(z.astype(jnp.float32), total), jnp.concatenate(indices), loss)

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        total = jnp.zeros(quantizer.dim)
        for stage, stage_indices in zip(_stages(params), jnp.split(indices, num_stages), strict=True):
            total = total + quantizer.lookup(stage, stage_indices)
        return total

    def batch_loss(params: Params, zs: jax.Array) -> jax.Array:
        losses, residuals = jnp.zeros(()), zs.astype(jnp.float32)
        for stage in _stages(params):
            losses = losses + quantizer.batch_loss(stage, residuals)
            residuals = residuals - jax.lax.stop_gradient(_values(quantizer, stage, residuals))
        return losses

    def batch_update(params: Params, key: jax.Array, zs: jax.Array, indices: jax.Array) -> Any:
        buffers, residuals = {}, zs.astype(jnp.float32)
        for i, (stage, stage_key) in enumerate(zip(_stages(params), jax.random.split(key, num_stages), strict=True)):
            stage_indices = indices[:, i * indices_per_stage : (i + 1) * indices_per_stage]
            updated = quantizer.batch_update(stage, stage_key, residuals, stage_indices)
            if updated is not None:
                buffers[_name(i)] = updated
            residuals = residuals - jax.vmap(quantizer.lookup, (None, 0))(stage, stage_indices)
        return buffers or None

    def fit(params: Params, key: jax.Array, zs: jax.Array) -> Params:
        fitted, residuals = [], zs.astype(jnp.float32)
        for stage, stage_key in zip(_stages(params), jax.random.split(key, num_stages), strict=True):
            fitted.append(quantizer.fit(stage, stage_key, residuals))
            residuals = residuals - _values(quantizer, fitted[-1], residuals)
        return _join_stages(fitted)

    return Quantizer(
        init, quantize, lookup, quantizer.dim, quantizer.num_codes * num_stages, batch_loss, batch_update, fit
    )


def _values(quantizer: Quantizer, params: Params, zs: jax.Array) -> jax.Array:
    return jax.vmap(lambda z: quantizer.quantize(params, z).value)(zs)


def _name(stage: int) -> str:
    return f"stage_{stage}"


def _join_stages(stages: list[Params]) -> Params:
    """Joins the parameters of all stages in one dict, with all buffers under one key "buffers"."""
    split = [split_buffers(stage) for stage in stages]
    trained = {_name(i): stage_params for i, (stage_params, _) in enumerate(split)}
    buffers = {_name(i): stage_buffers for i, (_, stage_buffers) in enumerate(split) if stage_buffers is not None}
    return join_buffers(trained, buffers or None)


def _stages(params: Params) -> Iterator[Params]:
    trained, buffers = split_buffers(params)
    return (join_buffers(trained[_name(i)], (buffers or {}).get(_name(i))) for i in range(len(trained)))
