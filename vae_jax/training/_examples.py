"""Training data: a number of examples, and a pure function from their indices to a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.distributions._checks import check_count, check_sizes
from vae_jax.models._model import num_examples
from vae_jax.training.sharding import split_batch

# Numbers folded into the run's key, for the order of examples and for the draws of `at`; both exceed any step number.
_ORDER, _AT = 2**32 - 1, 2**32 - 2

At = Callable[[Any, jax.Array, jax.Array], Any]  # (data, key, indices [B]) -> a batch
# (the run's key, first step, number of steps, number of examples, batch size) -> indices [number of steps, B]
Order = Callable[[jax.Array, Any, int, int, int], jax.Array]


def permuted(key: jax.Array, step: Any, num_steps: int, count: int, batch_size: int) -> jax.Array:
    """Order with each example at most once per epoch, new in every epoch; `count mod batch_size` are left out.

    Args:
      key: the run's key.
      step: any step of the epoch, counted from the start of the run.
      num_steps: steps per epoch, `count // batch_size`.
      count: N, the number of examples.
      batch_size: B, at most N.

    Returns:
      Indices `[num_steps, B]`.

    Raises:
      ValueError: if num_steps is not `count // batch_size`.
    """
    if num_steps != count // batch_size:
        raise ValueError(
            f"steps_per_epoch must be {count // batch_size} for {count} permuted examples in batches of {batch_size}, "
            f"got {num_steps}: leave it out, or use the order training.drawn"
        )
    order_key = jax.random.fold_in(jax.random.fold_in(key, _ORDER), step // num_steps)
    order = jax.random.permutation(order_key, count)
    return order[: num_steps * batch_size].reshape(num_steps, batch_size)


def drawn(key: jax.Array, step: Any, num_steps: int, count: int, batch_size: int) -> jax.Array:
    """Order of examples drawn independently with replacement; each step's draws depend on key and step number alone.

    Arguments and return value as for `permuted`; step is the first step of the epoch, and num_steps may be any number.
    """
    order_key = jax.random.fold_in(key, _ORDER)
    draw = lambda step: jax.random.randint(jax.random.fold_in(order_key, step), (batch_size,), 0, count)
    return jax.vmap(draw)(step + jnp.arange(num_steps))


def grouped(sizes: Sequence[int], per_batch: Sequence[int]) -> Order:
    """Order with a fixed number of examples of each group in every batch, such as of few labeled ones among many.

    The groups lie one after another in the data. Each group is passed through in a random order, without replacement,
    and passes follow one another: within an epoch, two examples of a group differ by at most one in how often they are
    in a batch. An epoch may have any number of steps, and new orders are drawn for it.

    Args:
      sizes: number of examples of each group, which sum to N.
      per_batch: number of examples of each group in a batch, in the order of the groups; they sum to B.

    Raises:
      ValueError: if a number is below 1, or the two differ in length; by the order, if the sums are not N and B.
    """
    check_sizes("sizes", sizes)
    check_sizes("per_batch", per_batch, 1)
    if len(sizes) != len(per_batch):
        raise ValueError(f"per_batch must have one number for each of the {len(sizes)} groups, got {len(per_batch)}")
    sizes, per_batch = tuple(sizes), tuple(per_batch)

    def order(key: jax.Array, step: Any, num_steps: int, count: int, batch_size: int) -> jax.Array:
        if (sum(sizes), sum(per_batch)) != (count, batch_size):
            raise ValueError(
                f"training.grouped has {sum(sizes)} examples in batches of {sum(per_batch)}, got {count} examples in "
                f"batches of {batch_size}"
            )
        order_key = jax.random.fold_in(jax.random.fold_in(key, _ORDER), step // num_steps)
        columns, first = [], 0
        for group, (size, number) in enumerate(zip(sizes, per_batch, strict=True)):
            passes = -(-num_steps * number // size)
            keys = jax.random.split(jax.random.fold_in(order_key, group), passes)
            places = jax.vmap(lambda key, size=size: jax.random.permutation(key, size))(keys).ravel()
            columns.append(first + places[: num_steps * number].reshape(num_steps, number))
            first += size
        return jnp.concatenate(columns, axis=1)

    return order


def rows(data: Any, key: jax.Array, indices: jax.Array) -> Any:
    """Rows of arrays at indices; the key is not used."""
    del key
    return jax.tree.map(lambda leaf: leaf[indices], data)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Examples:
    """Training data: arrays, rendered factors, or any examples that are generated from an index.

    The only leaf of this pytree is `data`, so that the data are an argument of a compiled program, not a constant in
    it. Make the functions `at` and `order` once: a new function means a new compilation.
    """

    data: Any  # a pytree of arrays, () if there are none
    count: int = dataclasses.field(metadata={"static": True})  # N
    at: At = dataclasses.field(default=rows, metadata={"static": True})
    order: Order = dataclasses.field(default=permuted, metadata={"static": True})

    def __post_init__(self) -> None:
        check_count("count", self.count)


def examples_of(name: str, data: Any) -> Examples:
    """`Examples` with arrays on the device, from `Examples` or from a pytree of arrays `[N, ...]`.

    Raises:
      ValueError: if the leaves have different lengths, or hold no example; if the count of `Examples` with `at = rows`
        is not their number of rows.
    """
    data = jax.tree.map(jnp.asarray, data)
    if isinstance(data, Examples):
        if data.at is rows and (found := num_examples(name, data.data)) != data.count:
            raise ValueError(f"{name} must hold as many rows as its count, {data.count}, got {found}")
        return data
    count = num_examples(name, data)
    if not count:
        raise ValueError(f"{name} must hold at least 1 example")
    return Examples(data, count)


def batch_at(examples: Examples, key: jax.Array, number: Any, indices: jax.Array, mesh: Mesh | None = None) -> Any:
    """The batch of examples at indices `[B]`, which are split over a mesh: each device makes its part of the batch.

    The draws of `at` depend on the run's key and on the number of the training step, or of the evaluated batch.
    """
    at_key = jax.random.fold_in(jax.random.fold_in(key, _AT), number)
    return split_batch(examples.at(examples.data, at_key, split_batch(indices, mesh)), mesh)
