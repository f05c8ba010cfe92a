"""The records `VAE` and `Conditional` on which objectives, training and evaluation are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.params import Params


class VAE(NamedTuple):
    """A variational autoencoder: `init`, and three functions that return distributions over one event.

    To use your own network, write these four functions; all objectives, training and evaluation functions accept the
    result.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params
    encode: Callable[[Params, Any], Distribution]  # (params, x) -> q(z | x)
    prior: Callable[[Params], Distribution]  # (params) -> p(z)
    decode: Callable[[Params, Any], Distribution]  # (params, z) -> p(x | z)


class Conditional(NamedTuple):
    """A family of VAEs with shared parameters, one VAE per context (a label, attributes, a mask of observed entries).

    `given(context)` is called inside the traced function, so that the context is an argument of the compiled program.
    The context must enter the distributions as one of their arrays, never in a closure of a static field.
    """

    init: Callable[[jax.Array], Params]  # (key) -> params of the whole family
    given: Callable[[Any], VAE]  # (context) -> q(z | x, context), p(z | context), p(x | z, context)
    # (name, contexts with a leading axis [N] and known values) -> None; raises ValueError or TypeError if one is wrong
    check: Callable[[str, Any], None] = lambda name, contexts: None


Model = VAE | Conditional


class Example(NamedTuple):
    """An example for a `Conditional`: x and its context, each any pytree of arrays."""

    x: Any
    context: Any


def given(model: Model, context: Any) -> VAE:
    """VAE for a context: `model.given(context)`, or the model itself if it is a VAE and the context is None.

    Raises:
      TypeError: if a VAE is given a context, or a `Conditional` none.
    """
    check_takes_context(model, context is not None)
    return model.given(context) if isinstance(model, Conditional) else model


def bind(model: Model, example: Any, name: str = "x") -> tuple[VAE, Any]:
    """Returns (VAE, x) for one example, which is an `Example` for a `Conditional`, and x itself for a VAE.

    Call it inside the function that is mapped over a batch: bounds, gradient estimators and samplers are then functions
    of a VAE and an x. `name` is the name of the argument, for messages.

    Raises:
      TypeError: if a VAE is given a context, or a `Conditional` none; if x holds raw uint8 pixels.
    """
    check_takes_context(model, isinstance(example, Example))
    if isinstance(model, Conditional):
        return model.given(example.context), model_input(name, example.x)
    return model, model_input(name, example)


def check_takes_context(model: Model, has_context: bool) -> None:
    """Raises TypeError if a VAE is given a context, or a `Conditional` none."""
    if isinstance(model, Conditional) and not has_context:
        raise TypeError("model is a Conditional and needs a context: give Example(x, context), or context=...")
    if has_context and not isinstance(model, Conditional):
        raise TypeError("model takes no context: give x alone, or make it a Conditional (models.conditional)")


def check_contexts(model: Any, name: str, batch: Any) -> None:
    """Checks the contexts of a batch by the model's check, if their values are known (not under a transformation).

    Args:
      model: a `Conditional`; for any other model, nothing is checked.
      name: name of the argument that holds the batch, for messages.
      batch: an `Example` of arrays `[N, ...]`; for any other batch, nothing is checked.

    Raises:
      ValueError, TypeError: by the model's check.
    """
    if not isinstance(model, Conditional) or not isinstance(batch, Example):
        return
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(batch.context)):
        model.check(f"{name}.context", batch.context)


def for_each_context(transform: Callable[[VAE], VAE], conditional: Conditional) -> Conditional:
    """Applies a function VAE -> VAE to a conditional model: the family of `transform(conditional.given(context))`.

    Args:
      transform: a function VAE -> VAE, such as `lambda vae: with_mixture_prior(vae, 20, 10)`. The `init` of its result
        may call the `init` of the given VAE, but not the other functions, which need a context.
      conditional: the conditional model.

    Raises:
      TypeError: by `init`, if the transformed `init` calls encode, prior or decode.
    """

    def refuse(*arguments: Any) -> Any:
        raise TypeError("the init of transform(vae) must not call encode, prior or decode, which need a context")

    init = transform(VAE(conditional.init, refuse, refuse, refuse)).init
    return conditional._replace(init=init, given=lambda context: transform(conditional.given(context)))


def common_prior(model: Model, params: Params, contexts: Any) -> Distribution | None:
    """Returns p(z) if it does not depend on the context, so that it is computed once, else None.

    Args:
      model: the model.
      params: parameters of the model.
      contexts: contexts with a leading axis [N]; None for a VAE.

    Raises:
      ValueError: if contexts have no common leading axis. Errors of the model's functions are raised too.
    """
    if not isinstance(model, Conditional):
        return model.prior(params)
    num_examples("contexts", contexts)
    prior = lambda context: model.given(context).prior(params)

    def trace(context: Any) -> None:
        prior(context)

    # Traced for one context first, so that errors of the model are not mistaken for those of vmap below.
    without_leading_axis = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    jax.eval_shape(trace, jax.tree.map(lambda leaf: without_leading_axis(jnp.asarray(leaf)), contexts))
    try:
        return jax.vmap(prior, out_axes=None)(contexts)
    except (ValueError, TypeError):  # the prior depends on the context, or is not a pytree, which vmap cannot return
        return None


def model_input(name: str, x: Any) -> Any:
    """Returns the argument `name` as a pytree of arrays; refuses raw uint8 pixels in x (not in a context).

    Raises:
      TypeError: if a leaf of x holds raw uint8 pixels; the message names the leaf by its path.
    """

    if isinstance(x, Example):
        return Example(model_input(f"{name}.x", x.x), jax.tree.map(jnp.asarray, x.context))

    def array(path: Any, leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        if leaf.dtype == jnp.uint8:
            raise TypeError(
                f"{name}{path_of(path)} holds raw uint8 pixels: preprocess them, for example by "
                f"vae_jax.data.binarize(key, {name}); objectives.with_preprocessing does so in the training step"
            )
        return leaf

    return jax.tree.map_with_path(array, x)


def path_of(path: Any) -> str:
    """Path of a leaf in Python syntax, such as `['age']` or `.x`; empty for a tree of one leaf."""
    return jax.tree_util.keystr(path)


def num_examples(name: str, batch: Any) -> int:
    """Length of the leading axis that all leaves of a batch share.

    Raises:
      ValueError: if the batch has no leaf, a leaf has no axis, or two leaves differ in length; the message names them.
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
        (length, path), (other, other_path) = list(lengths.items())[:2]
        raise ValueError(
            f"{name} must hold the same number of examples in every leaf: {name}{path_of(path)} has {length}, "
            f"{name}{path_of(other_path)} has {other}"
        )
    return next(iter(lengths))
