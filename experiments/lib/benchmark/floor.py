"""Floor of a step: the time of its matrix products alone, in the forms in which the library computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from experiments.lib.benchmark.flops import AND_INPUTS, AND_WEIGHTS, Product
from vae_jax.networks._blocks import barrier


def make_floor(
    products: Sequence[Product],
    steps: int,
    dtype: DTypeLike = jnp.float32,
    rows_sharding: jax.sharding.Sharding | None = None,
) -> Callable[[], float]:
    """Returns a function that computes the products of all steps in one jitted scan, like an epoch, and returns 0.

    Args:
      products: matrix products of one step.
      steps: number of steps.
      dtype: dtype of the factors and the results.
      rows_sharding: sharding of the inputs `[rows, inner]` if the step's batch is sharded; None on one device.
    """
    rng = np.random.RandomState(0)
    draw = lambda *shape: jnp.asarray(rng.uniform(-1.0, 1.0, shape), dtype)
    inputs = [jax.device_put(draw(p.rows, p.inner), rows_sharding) for p in products]
    weights = [draw(p.inner, p.columns) for p in products]

    run = _make_run(products, steps)

    def round() -> float:
        jax.block_until_ready(run(inputs, weights))
        return 0.0

    return round


def _make_run(products: Sequence[Product], steps: int) -> Callable[[list[jax.Array], list[jax.Array]], Any]:
    @jax.jit
    def run(inputs: list[jax.Array], weights: list[jax.Array]) -> tuple[list, list]:
        def body(carry: tuple[list, list], step: jax.Array) -> tuple[tuple[list, list], None]:
            # One weight changes at each step, so that no product can be moved out of the loop. The results are
            # carried, so that they must be computed.
            weights = [w.at[0, 0].set(step.astype(w.dtype)) for w in carry[0]]
            return (weights, [_passes(*factors) for factors in zip(products, inputs, weights, strict=True)]), None

        empty = [_passes(*factors) for factors in zip(products, inputs, weights, strict=True)]
        return jax.lax.scan(body, (weights, empty), jnp.arange(steps))[0]

    return run


def _passes(product: Product, x: jax.Array, w: jax.Array) -> list[jax.Array]:
    """Products y = x w, dL/dw = x^T dL/dy and dL/dx = dL/dy w^T, as far as they are needed; y stands in for dL/dy."""
    y = x @ w
    results = [y]
    if product.passes >= AND_WEIGHTS:
        # XLA computes a long sum over the rows of both factors at half the speed: convolutions transpose one first.
        results.append((barrier(x.T) if product.tall else x.T) @ y)
    if product.passes >= AND_INPUTS:
        results.append(y @ w.T)
    return results
