"""Interface of the networks over a grid of discrete codes and a label, and shared functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.distributions._checks import LARGEST_SIZE, check_count


class CodeNetwork(NamedTuple):
    """A network from codes to logits as two pure functions on one example (no batch axis).

    The network computes in the type of its parameters (cast them for bfloat16); logits are float32 or better.
    """

    init: Callable[[jax.Array], Any]  # (key) -> params, a plain dict of arrays
    logits: Callable[[Any, jax.Array, jax.Array], jax.Array]  # (params, codes [T], label) -> [T, K]


def pure_method(module: nn.Module, method: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Method of a module (default: `__call__`) as a pure function of the parameters and the inputs."""
    return lambda params, *inputs: module.apply({"params": params}, *inputs, method=method)


def rows_of(table: jax.Array, index: jax.Array) -> jax.Array:
    """`table[index]`, `[..., D]`, with NaN instead of a clamped row for an index past the end of the table."""
    return jnp.take(table, index, axis=0, mode="fill", fill_value=jnp.nan)


def in_full_precision(logits: jax.Array) -> jax.Array:
    """Casts logits to float32 or better, as a softmax over many codes needs."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def check_at_least(name: str, value: int, least: int) -> None:
    """Checks that a value is a whole number of at least `least`.

    Raises:
      TypeError: if the value is not a whole number.
      ValueError: if the value is below least, or too large for any device.
    """
    check_count(name, value, least, LARGEST_SIZE)
