"""The floor under a step: the time of its matrix products alone, in the forms that the library makes them in."""

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
    """A round of `steps` times all the products, in one jitted scan as an epoch is; returns 0.

    Args:
      products: of one step.
      steps: of a round.
      dtype: of the factors and of the results.
      rows_sharding: of the inputs `[rows, inner]`, where the step's batch is sharded; None: on one device.
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
            # One weight is another at each step, so that no product can be moved out of the loop. The results are
            # carried, and so must be there; nothing reads them.
            weights = [w.at[0, 0].set(step.astype(w.dtype)) for w in carry[0]]
            return (weights, [_passes(*factors) for factors in zip(products, inputs, weights, strict=True)]), None

        empty = [_passes(*factors) for factors in zip(products, inputs, weights, strict=True)]
        return jax.lax.scan(body, (weights, empty), jnp.arange(steps))[0]

    return run


def _passes(product: Product, x: jax.Array, w: jax.Array) -> list[jax.Array]:
    """y = x w; dL/dw = x^T dL/dy; dL/dx = dL/dy w^T, with dL/dy of the shape and here of the value of y."""
    y = x @ w
    results = [y]
    if product.passes >= AND_WEIGHTS:
        # XLA takes a long sum over the rows of both at half the speed: convolutions transpose one before it.
        results.append((barrier(x.T) if product.tall else x.T) @ y)
    if product.passes >= AND_INPUTS:
        results.append(y @ w.T)
    return results
