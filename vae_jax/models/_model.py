"""The record that everything here is built on, and the family of them that a context chooses from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.params import Params


class VAE(NamedTuple):
    """A variational autoencoder: an `init` and three functions that return distributions over one event.

    Write these four for a network of your own; every objective, trainer and evaluator here takes the result.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params
    encode: Callable[[Params, Any], Distribution]  # (params, x) -> q(z | x)
    prior: Callable[[Params], Distribution]  # (params) -> p(z)
    decode: Callable[[Params, Any], Distribution]  # (params, z) -> p(x | z)


class Conditional(NamedTuple):
    """A family of VAEs with common parameters: one for each context (a label, attributes, a mask of what is observed).

    `given(context)` is called inside the function that is traced, so that the context is an argument of the compiled
    program. The context must reach the distributions as one of their arrays, never in a closure of a static field.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params, those of the whole family
    given: Callable[[Any], VAE]  # (context) -> q(z | x, context), p(z | context), p(x | z, context)
    # (name, contexts with a leading axis [N], known values) -> None; raises ValueError or TypeError for a bad one
    check: Callable[[str, Any], None] = lambda name, contexts: None


Model = VAE | Conditional


class Example(NamedTuple):
    """An example of a `Conditional`: x and its context, each any pytree of arrays."""

    x: Any
    context: Any


def given(model: Model, context: Any) -> VAE:
    """The VAE of a context: `model.given(context)`, or the model itself if it is a VAE and the context is None.

    Raises:
      TypeError: if a VAE is given a context, or a `Conditional` none.
    """
    check_takes_context(model, context is not None)
    return model.given(context) if isinstance(model, Conditional) else model


def bind(model: Model, example: Any, name: str = "x") -> tuple[VAE, Any]:
    """(VAE, x) of one example: x itself for a VAE, an `Example` for a `Conditional`.

    Called where a batch is mapped over: bounds, gradient estimators and samplers below it see a VAE and an x. `name` is
    that of the argument, for messages.

    Raises:
      TypeError: if the example has a context and the model takes none, or the other way round; if x holds raw uint8.
    """
    check_takes_context(model, isinstance(example, Example))
    if isinstance(model, Conditional):
        return model.given(example.context), model_input(name, example.x)
    return model, model_input(name, example)


def check_takes_context(model: Model, has_context: bool) -> None:
    """Raises TypeError if a `Conditional` is given no context, or a VAE one."""
    if isinstance(model, Conditional) and not has_context:
        raise TypeError("model is a Conditional and needs a context: give Example(x, context), or context=...")
    if has_context and not isinstance(model, Conditional):
        raise TypeError("model takes no context: give x alone, or make it a Conditional (models.conditional)")


def check_contexts(model: Any, name: str, batch: Any) -> None:
    """The check of a `Conditional`'s contexts, if their values are known: under a transformation they are not.

    Args:
      model: a `Conditional`; any other has nothing to check.
      name: of the argument that the batch is, for messages.
      batch: an `Example` of arrays `[N, ...]`; any other has nothing to check.

    Raises:
      ValueError, TypeError: by the model's check.
    """
    if not isinstance(model, Conditional) or not isinstance(batch, Example):
        return
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(batch.context)):
        model.check(f"{name}.context", batch.context)


def for_each_context(transform: Callable[[VAE], VAE], conditional: Conditional) -> Conditional:
    """The family of `transform(conditional.given(context))`; parameters as the transformed `init` makes them.

    Args:
      transform: a function VAE -> VAE, such as `lambda vae: with_mixture_prior(vae, 20, 10)`; its `init` may call the
        given VAE's `init` and none of its other functions, which want a context.
      conditional: the family.

    Raises:
      TypeError: at `init`, if the transformed `init` encodes, decodes or takes the prior.
    """

    def refuse(*arguments: Any) -> Any:
        raise TypeError("transform: its init must not encode, decode or take the prior: these want a context")

    init = transform(VAE(conditional.init, refuse, refuse, refuse)).init
    return conditional._replace(init=init, given=lambda context: transform(conditional.given(context)))


def common_prior(model: Model, params: Params, contexts: Any) -> Distribution | None:
    """p(z) if it is one for all contexts, to be computed once; None if it depends on the context.

    Args:
      model: the model.
      params: its parameters.
      contexts: with a leading axis [N]; None for a VAE.

    Raises:
      ValueError: if contexts have no common leading axis. What the model's own functions raise, they raise here too.
    """
    if not isinstance(model, Conditional):
        return model.prior(params)
    num_examples("contexts", contexts)
    prior = lambda context: model.given(context).prior(params)

    def trace(context: Any) -> None:
        prior(context)

    # For one context first, so that what the model itself raises is not taken for what vmap raises below.
    shape_of_one = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    jax.eval_shape(trace, jax.tree.map(lambda leaf: shape_of_one(jnp.asarray(leaf)), contexts))
    try:
        return jax.vmap(prior, out_axes=None)(contexts)
    except (ValueError, TypeError):  # it depends on the context, or it is no pytree, which vmap cannot return
        return None


def model_input(name: str, x: Any) -> Any:
    """A pytree of arrays, the argument of that name; of an `Example`, x alone is refused.

    Raises:
      TypeError: if a leaf of x holds raw uint8 pixels, which no model sees; it is named by its path.
    """

    if isinstance(x, Example):
        return Example(model_input(f"{name}.x", x.x), jax.tree.map(jnp.asarray, x.context))

    def array(path: Any, leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        if leaf.dtype == jnp.uint8:
            raise TypeError(
                f"{name}{path_of(path)} holds raw uint8 pixels: give what the model sees, for example "
                f"vae_jax.data.binarize(key, {name}); objectives.with_preprocessing makes it in the training step"
            )
        return leaf

    return jax.tree.map_with_path(array, x)


def path_of(path: Any) -> str:
    """The path of a leaf as it is written in Python, such as `['age']` or `.x`; empty for a tree of one leaf."""
    return jax.tree_util.keystr(path)


def num_examples(name: str, batch: Any) -> int:
    """The length of the leading axis, which all leaves of a batch share.

    Raises:
      ValueError: if the batch has no leaf, a leaf has no axis, or two leaves have other lengths; it names them.
    """
    leaves = jax.tree.leaves_with_path(batch)
    if not leaves:
        raise ValueError(f"{name} must hold at least one array")
    lengths: dict[int, Any] = {}
    for path, leaf in leaves:
        if not jnp.ndim(leaf):
            raise ValueError(f"{name}{path_of(path)} must have a leading axis, one entry for each example; it has none")
        lengths.setdefault(jnp.shape(leaf)[0], path)
    if len(lengths) > 1:
        (one, path), (other, other_path) = list(lengths.items())[:2]
        raise ValueError(
            f"{name} must hold as many examples in every leaf: {name}{path_of(path)} has {one}, "
            f"{name}{path_of(other_path)} has {other}"
        )
    return next(iter(lengths))
