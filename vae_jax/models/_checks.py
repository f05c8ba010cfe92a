"""Checks of the shape and values of examples and contexts, before anything is computed from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, outside_support
from vae_jax.distributions._checks import LARGEST_SIZE, check_count, wrong_shape
from vae_jax.models._model import (
    VAE,
    Conditional,
    Example,
    Model,
    bind,
    check_takes_context,
    given,
    num_examples,
    path_of,
)


def check_latent_dim(latent_dim: int) -> None:
    """Refuses a length of z that is below 1, or so large that it is a typing error."""
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE // 2)  # a network gives twice as many numbers


class WrongShape(ValueError):
    """Examples of another shape than what the model decodes."""


def checked_given(model: Model, context: Any) -> VAE:
    """`given(model, context)` of one context that the model's `check` accepts.

    Raises:
      TypeError: if a VAE is given a context, or a `Conditional` none; by the check.
      ValueError: by the check.
    """
    check_takes_context(model, context is not None)
    if isinstance(model, Conditional):
        model.check("context", _with_leading_axis(context))
    return given(model, context)


def check_example(model: Model, x: Any, name: str = "x", context: Any = None) -> None:
    """Refuses one example `[...]`, with its context if the model takes one, that `check_examples` would refuse."""
    if isinstance(x, Example):
        check_takes_context(model, True)
        raise TypeError(f"{name} must be {name} alone, got an Example: give its context as context=...")
    check_takes_context(model, context is not None)
    if context is None:
        _check(model, _with_leading_axis(x), (name, ""), one=True)
    else:
        _check(model, _with_leading_axis(Example(x, context)), (name, "context"), one=True)


def check_examples(model: Model, examples: Any, name: str) -> None:
    """Refuses examples of another shape than the model's, or outside the support of its likelihood, and bad contexts.

    Under the caller's `jit` values are not known, and the model's own networks check only shapes. A model
    whose functions are not traceable, or whose likelihood has no `supports`, is taken to suit everything.

    Args:
      model: any record with the four functions of a `VAE`, or a `Conditional`; another is taken to suit everything.
      examples: a pytree of arrays `[N, ...]` as the model sees them; an `Example` of them for a `Conditional`.
      name: of the argument that holds them, for the message.

    Raises:
      WrongShape: a ValueError; if the shape is not that of what the model decodes.
      ValueError: if a value is outside the support, or by the model's check of contexts.
      TypeError: if a VAE is given contexts, or a `Conditional` none; by the model's check of contexts.
    """
    if isinstance(model, VAE | Conditional):
        check_takes_context(model, isinstance(examples, Example))
    names = (f"{name}.x", f"{name}.context") if isinstance(examples, Example) else (name, "")
    _check(model, jax.tree.map(_array, examples), names, one=False)


def _check(model: Model, examples: Any, names: tuple[str, str], one: bool) -> None:
    name, context_name = names
    leaves = jax.tree.leaves(examples)
    if isinstance(model, Conditional):
        model.check(context_name, examples.context)
    elif not hasattr(model, "decode"):
        return
    if any(isinstance(leaf, jax.core.Tracer) or not leaf.ndim for leaf in leaves):
        return
    if not leaves or not num_examples(name, examples):
        return
    xs = examples.x if isinstance(model, Conditional) else examples
    # NumPy's int64 becomes what jax makes of it: a shape of 64 bits is one that newer versions warn of.
    dtype_of = lambda leaf: jax.dtypes.canonicalize_dtype(leaf.dtype)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], dtype_of(leaf)), examples)
    flat, structure = jax.tree.flatten(shapes)
    try:
        likelihood, mean = _likelihood(model, tuple(flat), structure)
    except Exception:  # whatever the functions raise, they raise it again when they are used
        return
    if mean is not None:
        _check_shapes(name, mean, xs)
    if not hasattr(likelihood, "supports"):
        return
    try:
        supported = np.asarray(jax.vmap(likelihood.supports)(jax.tree.map(jnp.asarray, xs)))
    except Exception:  # a support that depends on the parameters, of which there are the shapes alone
        return
    if not supported.all():
        first = int(np.argmin(supported))
        where = "" if one else f" (first at example {first})"
        raise ValueError(f"{outside_support(likelihood, xs, name)}{where}")


def _check_shapes(name: str, decoded: Any, xs: Any) -> None:
    """Refuses xs `[N, ...]` that do not have the structure and shapes of one decoded example."""
    structure: Any = jax.tree.structure(decoded)
    if structure != jax.tree.structure(xs):
        wanted, got = ([f"{name}{path_of(p)}" for p, _ in jax.tree.leaves_with_path(tree)] for tree in (decoded, xs))
        raise WrongShape(f"{name} must hold the arrays that the model decodes, {wanted}, got {got}")
    for (path, leaf), x in zip(jax.tree.leaves_with_path(decoded), jax.tree.leaves(xs), strict=True):
        if leaf.shape != x.shape[1:]:
            raise WrongShape(wrong_shape(f"{name}{path_of(path)}", leaf.shape, x.shape[1:]))


@lru_cache(maxsize=64)
def _likelihood(model: Model, leaves: tuple[jax.ShapeDtypeStruct, ...], structure: Any) -> tuple[Distribution, Any]:
    """p(x | z) with shapes in the place of arrays, and its mean, or None; traced only, nothing is computed."""

    def trace(key: jax.Array, example: Any) -> tuple[Distribution, Any]:
        params = model.init(key)
        vae, x = bind(model, example)
        try:
            z = vae.encode(params, x).sample(key)
        except Exception:  # x does not suit the encoder: the shape of what is decoded says what would
            z = vae.prior(params).sample(key)
        decoded = vae.decode(params, z)
        return decoded, getattr(decoded, "mean", None)

    likelihood, mean = jax.eval_shape(trace, jax.random.key(0), jax.tree.unflatten(structure, leaves))
    arrays = all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(mean))
    return likelihood, mean if arrays else None


def _array(leaf: Any) -> Any:
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _with_leading_axis(one: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None] if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf)[None], one)
