"""A function of one example over a whole data set, a chunk at a time; and the mean with its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import model_input


def over_examples(
    function: Callable[[Any, jax.Array, jax.Array], Any], params: Any, key: jax.Array, xs: ArrayLike, batch_size: int
) -> Any:
    """`function(params, key_i, x_i)` for every example, batch_size of them at a time: one loop on the device.

    The key of example i is `fold_in(key, i)`, so the result does not depend on batch_size.

    Args:
      function: (params, key, x) -> pytree of arrays.
      params: whatever the function takes first.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples.
      batch_size: examples held at once, at least 1.

    Returns:
      The pytree, each leaf with a leading axis `[N]`.

    Raises:
      ValueError: where batch_size is below 1, or xs holds no example.
      TypeError: where xs are raw uint8 pixels.
    """
    xs = model_input("xs", xs)
    require_at_least_one(**{"batch_size": batch_size, "the number of examples in xs": xs.shape[0]})
    indices = jnp.arange(xs.shape[0])
    one = lambda args: function(params, jax.random.fold_in(key, args[0]), args[1])
    return jax.lax.map(one, (indices, xs), batch_size=min(batch_size, xs.shape[0]))


class Estimate(NamedTuple):
    """A mean over examples and the standard error of that mean."""

    mean: float
    standard_error: float | None  # None where there is one example only


def mean_over_examples(values: ArrayLike) -> Estimate:
    """The mean of `[N]` values and its standard error s / sqrt(N) (s with N - 1 in its divisor)."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 1)
    count = values.shape[0]
    return Estimate(float(jnp.mean(values)), float(jnp.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None)
