"""Networks that read a grid of discrete codes and a label, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.distributions._checks import LARGEST_SIZE, check_count


class CodeNetwork(NamedTuple):
    """A network from codes to logits as two pure functions on one example (no batch axis).

    It computes in the type of its parameters (cast them for bfloat16); logits are float32 or better.
    """

    init: Callable[[jax.Array], Any]  # (key) -> params, a plain dict of arrays
    logits: Callable[[Any, jax.Array, jax.Array], jax.Array]  # (params, codes [T], label) -> [T, K]


def applied(module: nn.Module, method: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """The module's method (`__call__` where None) as a pure function of its parameters and inputs."""
    return lambda params, *inputs: module.apply({"params": params}, *inputs, method=method)


def rows_of(table: jax.Array, index: jax.Array) -> jax.Array:
    """`table[index]`, `[..., D]`: NaN where the index lies behind the table's end, rather than another row."""
    return jnp.take(table, index, axis=0, mode="fill", fill_value=jnp.nan)


def in_full_precision(logits: jax.Array) -> jax.Array:
    """As float32 or better: what a softmax over many codes needs."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuses a count that is too small.

    Raises:
      TypeError: if value is no whole number.
      ValueError: if it is below least, or too large for any device.
    """
    check_count(name, value, least, LARGEST_SIZE)
