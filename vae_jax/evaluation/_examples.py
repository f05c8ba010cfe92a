"""Mapping of functions of one example over a whole data set in chunks, and means with standard errors.

Convention for every evaluator of this package: `xs` is a pytree of arrays `[N, ...]` if the model is a VAE, and
`Example(xs, contexts)`, whose contexts also have a leading axis `[N]`, if it is a `Conditional`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._checks import check_examples
from vae_jax.models._model import (
    VAE,
    Conditional,
    Example,
    Model,
    bind,
    check_contexts,
    check_takes_context,
    common_prior,
    model_input,
    num_examples,
)
from vae_jax.params import Params

Evaluator = TypeVar("Evaluator", bound=Callable[..., Any])


def over_examples(
    function: Callable[[VAE, Any, jax.Array, Any], Any],
    model: Model,
    params: Any,
    key: jax.Array,
    xs: Any,
    batch_size: int,
) -> Any:
    """Maps `function(vae, params, key_i, x_i)` over the examples, batch_size at a time, in one loop on the device.

    The key of example i is `fold_in(key, i)`; the result does not depend on batch_size.

    Args:
      function: (vae, params, key, x) -> pytree of arrays; vae is the model, or the VAE that a `Conditional` returns for
        the example's context.
      model: a VAE, or a `Conditional`.
      params: passed to the function.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples; `Example(xs, contexts)` for a `Conditional`.
      batch_size: number of examples computed at once, at least 1.

    Returns:
      The pytree, each leaf with a leading axis `[N]`.

    Raises:
      ValueError: if batch_size is below 1, xs holds no example, or its leaves have different lengths; by the model's
        check of contexts, if their values are known.
      TypeError: if x holds raw uint8 pixels; if xs have contexts and the model takes none, or have none and the model
        takes them.
    """
    xs, count = as_examples(model, xs)
    require_at_least_one(batch_size=batch_size)

    def one(index_and_example: tuple[jax.Array, Any]) -> Any:
        index, example = index_and_example
        vae, x = bind(model, example, "xs")
        return function(vae, params, jax.random.fold_in(key, index), x)

    return jax.lax.map(one, (jnp.arange(count), xs), batch_size=min(batch_size, count))


def as_examples(model: Model, xs: Any) -> tuple[Any, int]:
    """The examples as a pytree of arrays, and their number N.

    Raises:
      ValueError: if there is no example, or two leaves have different lengths; by the model's check of contexts, if
        their values are known.
      TypeError: if x holds raw uint8 pixels; if xs have contexts and the model takes none, or have none and the model
        takes them.
    """
    check_takes_context(model, isinstance(xs, Example))
    xs = model_input("xs", xs)
    count = num_examples("xs", xs)
    require_at_least_one(**{"the number of examples in xs": count})
    check_contexts(model, "xs", xs)
    return xs, count


def jitted(*static_argnames: str) -> Callable[[Evaluator], Evaluator]:
    """`jax.jit` for an evaluator with arguments `model` and `xs`; contexts with known values are checked before it."""

    def decorate(evaluator: Evaluator) -> Evaluator:
        program, signature = jax.jit(evaluator, static_argnames=static_argnames), inspect.signature(evaluator)

        @wraps(evaluator)
        def checked(*args: Any, **options: Any) -> Any:
            given = signature.bind(*args, **options).arguments
            check_contexts(given["model"], "xs", given["xs"])
            return program(*args, **options)

        return cast(Evaluator, checked)

    return decorate


def checked_examples(model: Model, xs: Any) -> tuple[Any, int]:
    """`as_examples`, with a check of their values; not for use under `jit`, where values are not known.

    Raises:
      ValueError: if x has another shape than the model's examples, or lies outside the support of its likelihood; if a
        context does not suit the model.
    """
    xs, count = as_examples(model, xs)
    check_examples(model, xs, "xs")
    return xs, count


def checked_contexts(model: Model, contexts: Any, count: int) -> Any:
    """The contexts of `count` examples to be drawn from the model, as arrays; None for a VAE.

    Raises:
      ValueError: if there are not `count` contexts, or one does not suit the model.
      TypeError: if the model takes a context and there is none, or takes none and there is one.
    """
    check_takes_context(model, contexts is not None)
    if not isinstance(model, Conditional):
        return None
    contexts = jax.tree.map(jnp.asarray, contexts)
    given = num_examples("contexts", contexts)
    if given != count:
        raise ValueError(f"contexts must have one entry for each of the {count} examples, got {given}")
    model.check("contexts", contexts)
    return contexts


def rows_at(xs: Any, indices: Any) -> Any:
    """The example at an index, or the examples at indices `[B]`."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, indices, axis=0), xs)


def contexts_of(xs: Any) -> Any:
    """The contexts of an `Example`; None for examples without contexts."""
    return xs.context if isinstance(xs, Example) else None


def with_prior_computed(model: Model, params: Params, xs: Any) -> Model:
    """The model with p(z) at these params computed once, if it is the same for all contexts of xs.

    A loop over examples then reuses the prior instead of computing it for each example, which is costly for a
    VampPrior: it encodes all its pseudo-inputs. A prior that depends on the context is still computed for each example.

    Args:
      model: the model.
      params: the model's parameters.
      xs: examples, as `over_examples` takes them.
    """
    xs, _ = as_examples(model, xs)
    prior = common_prior(model, params, contexts_of(xs))
    if prior is None:
        return model
    if not isinstance(model, Conditional):
        return with_prior_at(model, params, prior)
    given = model.given
    return model._replace(given=lambda context: with_prior_at(given(context), params, prior))


def with_prior_at(vae: VAE, params: Params, prior: Distribution) -> VAE:
    """The VAE that returns this prior for the same params object; for other params p(z) is computed."""
    return vae._replace(prior=lambda given_params: prior if given_params is params else vae.prior(given_params))


class Estimate(NamedTuple):
    """Mean over examples and its standard error."""

    mean: float
    standard_error: float | None  # None for a single example


def mean_over_examples(values: ArrayLike) -> Estimate:
    """Mean of `[N]` values and its standard error s / sqrt(N), where s has the divisor N - 1."""
    values = jnp.asarray(values)
    chex.assert_rank(values, 1)
    count = values.shape[0]
    return Estimate(float(jnp.mean(values)), float(jnp.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None)
