"""Checks of the shapes and values of examples and contexts."""

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
    """Raises ValueError if the length of z is below 1, or so large that it is taken for a typo."""
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE // 2)  # an encoder gives twice as many numbers


class WrongShape(ValueError):
    """Error for examples without the shape of the model's decoded examples."""


def checked_given(model: Model, context: Any) -> VAE:
    """`given(model, context)`, after the model's check of the context.

    Raises:
      TypeError: if a VAE is given a context, or a `Conditional` none; by the model's check.
      ValueError: by the model's check.
    """
    check_takes_context(model, context is not None)
    if isinstance(model, Conditional):
        model.check("context", _with_leading_axis(context))
    return given(model, context)


def check_example(model: Model, x: Any, name: str = "x", context: Any = None) -> None:
    """Checks one example `[...]`, and its context if the model takes one, as `check_examples` checks a batch."""
    if isinstance(x, Example):
        check_takes_context(model, True)
        raise TypeError(f"{name} must not be an Example: give the x of the Example, and its context as context=...")
    check_takes_context(model, context is not None)
    if context is None:
        _check(model, _with_leading_axis(x), (name, ""), one=True)
    else:
        _check(model, _with_leading_axis(Example(x, context)), (name, "context"), one=True)


def check_examples(model: Model, examples: Any, name: str) -> None:
    """Checks the shapes of examples, their contexts, and that their values are in the support of the likelihood.

    Shapes and values of x are not checked under the caller's `jit`, or if the functions of the model are not traceable;
    values are not checked if the likelihood has no `supports`.

    Args:
      model: a record with the four functions of a `VAE`, or a `Conditional`; for any other, nothing is checked.
      examples: a pytree of preprocessed arrays `[N, ...]`, or an `Example` of such pytrees for a `Conditional`.
      name: name of the argument that holds the examples, for the message.

    Raises:
      WrongShape: (a ValueError) if the shape is not that of the model's decoded examples.
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
    # NumPy's 64-bit types become JAX's 32-bit types; newer versions of JAX warn of a 64-bit ShapeDtypeStruct.
    dtype_of = lambda leaf: jax.dtypes.canonicalize_dtype(leaf.dtype)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], dtype_of(leaf)), examples)
    flat, structure = jax.tree.flatten(shapes)
    try:
        likelihood, mean = _likelihood(model, tuple(flat), structure)
    except Exception:  # the functions raise the error again when they are used
        return
    if mean is not None:
        _check_shapes(name, mean, xs)
    if not hasattr(likelihood, "supports"):
        return
    try:
        supported = np.asarray(jax.vmap(likelihood.supports)(jax.tree.map(jnp.asarray, xs)))
    except Exception:  # the support depends on parameters, of which only the shapes are known
        return
    if not supported.all():
        first = int(np.argmin(supported))
        where = "" if one else f" (first at example {first})"
        raise ValueError(f"{outside_support(likelihood, xs, name)}{where}")


def _check_shapes(name: str, decoded: Any, xs: Any) -> None:
    """Raises WrongShape if xs `[N, ...]` do not have the structure and shapes of one decoded example."""
    structure: Any = jax.tree.structure(decoded)
    if structure != jax.tree.structure(xs):
        expected, given = (
            ", ".join(f"{name}{path_of(path)}" for path, _ in jax.tree.leaves_with_path(tree)) for tree in (decoded, xs)
        )
        raise WrongShape(f"{name} must hold the arrays that the model decodes, {expected}; got {given}")
    for (path, leaf), x in zip(jax.tree.leaves_with_path(decoded), jax.tree.leaves(xs), strict=True):
        if leaf.shape != x.shape[1:]:
            message = wrong_shape(f"{name}{path_of(path)}", leaf.shape, x.shape[1:])
            if leaf.shape == x.shape[1:-1]:
                message += "; or the decoder's outputs lack their last axis: they need likelihood.output_shape(x.shape)"
            raise WrongShape(message)


@lru_cache(maxsize=64)
def _likelihood(model: Model, leaves: tuple[jax.ShapeDtypeStruct, ...], structure: Any) -> tuple[Distribution, Any]:
    """p(x | z), and its mean or None, with shapes in place of arrays: the model is traced, and nothing is computed."""

    def trace(key: jax.Array, example: Any) -> tuple[Distribution, Any]:
        params = model.init(key)
        vae, x = bind(model, example)
        try:
            z = vae.encode(params, x).sample(key)
        except Exception:  # x has a wrong shape; the message needs the shape of the decoded example
            z = vae.prior(params).sample(key)
        decoded = vae.decode(params, z)
        return decoded, getattr(decoded, "mean", None)

    likelihood, mean = jax.eval_shape(trace, jax.random.key(0), jax.tree.unflatten(structure, leaves))
    arrays = all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(mean))
    return likelihood, mean if arrays else None


def _array(leaf: Any) -> Any:
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _with_leading_axis(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None] if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf)[None], tree)
