"""What is trained on: a number of examples, and a pure function from indices to a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._checks import check_count
from vae_jax.models._model import num_examples

# Folded into the run's key for the shuffling; no step number reaches it.
_SHUFFLING = 2**32 - 1

At = Callable[[Any, jax.Array, jax.Array], Any]  # (data, key, indices [B]) -> a batch
# (the run's key, first step, number of steps, number of examples, batch size) -> indices [number of steps, B]
Order = Callable[[jax.Array, Any, int, int, int], jax.Array]


def permuted(key: jax.Array, step: Any, num_steps: int, count: int, batch_size: int) -> jax.Array:
    """Each example at most once an epoch, in a new order every epoch; `count mod batch_size` of them are left out.

    Args:
      key: the run's key.
      step: any step of the epoch, counted from the start of the run.
      num_steps: those of an epoch, `count // batch_size`.
      count: N.
      batch_size: B, at most N.

    Returns:
      Indices `[num_steps, B]`.

    Raises:
      ValueError: if num_steps is another number.
    """
    if num_steps != count // batch_size:
        raise ValueError(f"an epoch of permuted examples has {count // batch_size} steps, got {num_steps}")
    shuffling_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLING), step // num_steps)
    order = jax.random.permutation(shuffling_key, count)
    return order[: num_steps * batch_size].reshape(num_steps, batch_size)


def drawn(key: jax.Array, step: Any, num_steps: int, count: int, batch_size: int) -> jax.Array:
    """Examples drawn independently with replacement, those of a step from `fold_in(key, step)` alone.

    Args and returns as of `permuted`; num_steps may be any number.
    """

    def of_step(step: jax.Array) -> jax.Array:
        return jax.random.randint(
            jax.random.fold_in(jax.random.fold_in(key, _SHUFFLING), step), (batch_size,), 0, count
        )

    return jax.vmap(of_step)(step + jnp.arange(num_steps))


def rows(data: Any, key: jax.Array, indices: jax.Array) -> Any:
    """The rows of arrays at indices; the key is not used."""
    del key
    return jax.tree.map(lambda leaf: leaf[indices], data)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Examples:
    """Training data as arrays, rendered factors, or whatever else is generated from an index.

    A pytree whose only leaf is `data`, so that data are an argument of a compiled program and no constant in it. Make
    `at` and `order` once: a new function is a new program.
    """

    data: Any  # a pytree of arrays, () if there are none
    count: int = dataclasses.field(metadata={"static": True})  # N
    at: At = dataclasses.field(default=rows, metadata={"static": True})
    order: Order = dataclasses.field(default=permuted, metadata={"static": True})

    def __post_init__(self) -> None:
        check_count("count", self.count)


def examples_of(name: str, data: Any) -> Examples:
    """`Examples` as they are; of a pytree of arrays `[N, ...]`, its rows.

    Raises:
      ValueError: if the leaves have different lengths.
    """
    if isinstance(data, Examples):
        return data
    data = jax.tree.map(jnp.asarray, data)
    return Examples(data, num_examples(name, data))
