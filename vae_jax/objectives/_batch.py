"""The one place where an objective of one example becomes an objective of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp

from vae_jax.models._model import VAE, Model, bind, check_contexts, num_examples
from vae_jax.params import Params, split_buffers

Metrics = dict[str, jax.Array]


class Aux(NamedTuple):
    """Metrics and new buffers, which an objective returns beside the loss."""

    metrics: Metrics  # scalars, means over the batch
    buffers: Any  # the new params["buffers"]; None for a model without buffers


# (model, params, key, batch) -> (loss, Aux), the loss a mean over the batch in nats
Objective = Callable[[Any, Params, jax.Array, Any], tuple[jax.Array, Aux]]
# (VAE, params, key, x) -> (loss, metrics) of one example; the VAE and x are those that a `Bind` returns
ExampleObjective = Callable[[Any, Params, jax.Array, Any], tuple[jax.Array, Metrics]]

# (model, one example, its name in messages) -> the arguments of a function of one example: a VAE and an x
Bind = Callable[[Any, Any, str], tuple[Any, Any]]
T = TypeVar("T")


def map_over_batch(
    function: Callable[[VAE, jax.Array, Any], T], model: Model, key: jax.Array, batch: Any, bind: Bind = bind
) -> T:
    """Results of `function(vae, key, x)` for every example, each with its own key, stacked along a leading axis `[B]`.

    Args:
      function: takes the VAE of the example's context (the model itself, if that is a VAE), one key and one x.
      model: a VAE or a `Conditional`.
      key: one key, which is split, or keys `[B]`, one for each example.
      batch: a pytree of arrays `[B, ...]`; an `Example` of them for a `Conditional`.
      bind: replaces `models.bind` for a trainable that is not a model, such as a prior over codes.

    Raises:
      ValueError: if there are several keys, but not B, or the leaves of batch have different lengths; by the model's
        check of contexts, if their values are known.
      TypeError: for a batch of uint8 pixels (`with_preprocessing` converts them), or if the batch has contexts and the
        model takes none, or has none and the model takes them.
    """

    def example(key: jax.Array, example: Any) -> T:
        vae, x = bind(model, example, "batch")
        return function(vae, key, x)

    size, batch = num_examples("batch", batch), jax.tree.map(jnp.asarray, batch)
    check_contexts(model, "batch", batch)
    return jax.vmap(example)(keys_of_examples(key, size), batch)


def keys_of_examples(key: jax.Array, num_examples: int) -> jax.Array:
    """Keys `[B]`, one for each example: a single key is split, B keys are returned unchanged.

    Raises:
      ValueError: if there are several keys, but not B.
    """
    # A key made by `jax.random.PRNGKey` is itself an array `[2]`.
    own_axes = 0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1
    if key.ndim == own_axes:
        return jax.random.split(key, num_examples)
    if key.ndim != own_axes + 1 or key.shape[0] != num_examples:
        shape = key.shape[: key.ndim - own_axes]
        raise ValueError(
            f"key must be one key, or one for each of the {num_examples} examples, got keys of shape {shape}"
        )
    return key


class mean_over_batch:  # in lower case, as functools.partial is: it is called, and serves as a decorator
    """Lifts an objective of one example to a batch: one key for each example, the mean of loss and metrics.

    A mean, unlike a sum, does not change with the batch size. Buffers pass through unchanged. The type of the result
    marks it as a mean over examples: only such an objective may be computed in microbatches.

    Args:
      example_objective: (vae, params, key, x) -> (loss, metrics) of one example, scalars.
      bind: replaces `models.bind` for a trainable that is not a model, such as a prior over codes.

    Raises:
      TypeError: by the objective, for a batch of uint8 pixels, which `with_preprocessing` converts.
      AssertionError: by the objective, if loss or metrics of one example are not scalars.
    """

    def __init__(self, example_objective: ExampleObjective, bind: Bind = bind):
        self.example_objective, self.bind = example_objective, bind
        # The documentation and the citations are those of the function.
        for name in ("__doc__", "__name__", "__qualname__", "__module__"):
            setattr(self, name, getattr(example_objective, name))

    def __call__(self, model: Model, params: Params, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
        def example(vae: VAE, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
            loss, metrics = self.example_objective(vae, params, key, x)
            # A log_prob that does not sum over its event would be averaged over the pixels without an error.
            chex.assert_rank([loss, *metrics.values()], 0)
            return loss, metrics

        losses, metrics = map_over_batch(example, model, key, batch, self.bind)
        return jnp.mean(losses), unchanged(params, jax.tree.map(jnp.mean, metrics))


def unchanged(params: Params, metrics: Metrics) -> Aux:
    """Metrics with the model's buffers unchanged."""
    return Aux(metrics, split_buffers(params)[1])
