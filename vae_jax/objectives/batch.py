"""The one place where an objective of one example becomes an objective of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp

from vae_jax.models.vae import VAE, Params, model_input, split_buffers

Metrics = dict[str, jax.Array]


class Aux(NamedTuple):
    """What an objective returns beside the loss."""

    metrics: Metrics  # scalars, means over the batch
    buffers: Any  # the new params["buffers"]; None for a model that has none


# (model, params, key, batch) -> (loss, Aux), the loss a mean over the batch in nats
Objective = Callable[[VAE, Params, jax.Array, jax.Array], tuple[jax.Array, Aux]]
# (model, params, key, x) -> (loss, metrics) of one example
ExampleObjective = Callable[[VAE, Params, jax.Array, jax.Array], tuple[jax.Array, Metrics]]

T = TypeVar("T")


def map_over_batch(function: Callable[[jax.Array, jax.Array], T], key: jax.Array, batch: jax.Array) -> T:
    """`function(key, x)` of every example x, each with a key of its own: what it returns with a leading axis `[B]`.

    Args:
      function: of one key and one example.
      key: one, which is split, or `[B]`, one for each example.
      batch: `[B, ...]`.

    Raises:
      ValueError: where there are several keys, but not B.
      TypeError: for a batch of uint8 pixels; `on_prepared` makes them what a model sees.
    """
    batch = model_input("batch", batch)
    return jax.vmap(function)(keys_of_examples(key, batch.shape[0]), batch)


def keys_of_examples(key: jax.Array, num_examples: int) -> jax.Array:
    """`[B]` keys: one key split, or B keys as they are.

    Raises:
      ValueError: where there are several keys, but not B.
    """
    # A key of `jax.random.PRNGKey` is itself an array of two words.
    own_axes = 0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1
    if key.ndim == own_axes:
        return jax.random.split(key, num_examples)
    if key.ndim != own_axes + 1 or key.shape[0] != num_examples:
        shape = key.shape[: key.ndim - own_axes]
        raise ValueError(f"key must be one key, or one for each of the {num_examples} examples, got keys {shape}")
    return key


def mean_over_batch(example_objective: ExampleObjective) -> Objective:
    """Lifts an objective of one example to a batch: a key for each example, the mean of loss and metrics.

    The mean, not the sum: the loss is the same whatever the batch size. Buffers pass through unchanged.

    Raises:
      TypeError: by the objective, for a batch of uint8 pixels; `on_prepared` makes them what a model sees.
      AssertionError: by the objective, where loss or metrics of one example are not scalars.
    """

    def objective(model: VAE, params: Params, key: jax.Array, batch: jax.Array) -> tuple[jax.Array, Aux]:
        def example(key: jax.Array, x: jax.Array) -> tuple[jax.Array, Metrics]:
            loss, metrics = example_objective(model, params, key, x)
            # A log_prob that does not sum over its event would be averaged over the pixels without a word.
            chex.assert_rank([loss, *metrics.values()], 0)
            return loss, metrics

        losses, metrics = map_over_batch(example, key, batch)
        return jnp.mean(losses), Aux(jax.tree.map(jnp.mean, metrics), split_buffers(params)[1])

    objective.__doc__ = example_objective.__doc__
    return objective
