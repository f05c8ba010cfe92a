"""Checks of the shape and values of examples, before anything is computed from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, outside_support
from vae_jax.distributions._checks import LARGEST_SIZE, check_count, wrong_shape
from vae_jax.models._model import VAE


def check_latent_dim(latent_dim: int) -> None:
    check_count("latent_dim", latent_dim, most=LARGEST_SIZE // 2)  # a network gives twice as many numbers


class WrongShape(ValueError):
    """Examples of another shape than what the model decodes."""


def check_example(model: VAE, x: ArrayLike, name: str = "x") -> None:
    """Refuses one example `[...]` that `check_examples` would refuse."""
    if not isinstance(x, jax.core.Tracer):
        check_examples(model, np.asarray(x)[None], name, one=True)


def check_examples(model: VAE, xs: ArrayLike, name: str, one: bool = False) -> None:
    """Refuses examples of another shape than the model's, or outside the support of its likelihood.

    Under the caller's `jit` values are not known, and the model's own networks check only shapes. A model
    whose functions are not traceable, or whose likelihood has no `supports`, is taken to suit everything.

    Args:
      model: any record with the four functions of a `VAE`; one without is taken to suit everything.
      xs: `[N, ...]` examples as the model sees them.
      name: of the argument that holds them, for the message.
      one: the argument holds one example, and xs is the batch of it.

    Raises:
      WrongShape: a ValueError; if the shape is not that of what the model decodes.
      ValueError: if a value is outside the support.
    """
    if isinstance(xs, jax.core.Tracer) or not hasattr(model, "decode"):
        return
    xs = xs if isinstance(xs, jax.Array) else np.asarray(xs)
    if not xs.ndim or not xs.shape[0]:
        return
    try:
        likelihood, shape = _likelihood(model, xs.shape[1:], jnp.dtype(xs.dtype))
    except Exception:  # whatever the functions raise, they raise it again when they are used
        return
    if shape is not None and shape != xs.shape[1:]:
        raise WrongShape(wrong_shape(name, shape, xs.shape[1:]))
    if not hasattr(likelihood, "supports"):
        return
    try:
        supported = np.asarray(jax.vmap(likelihood.supports)(jnp.asarray(xs)))
    except Exception:  # a support that depends on the parameters, of which there are the shapes alone
        return
    if not supported.all():
        first = int(np.argmin(supported))
        where = "" if one else f" (first at example {first})"
        raise ValueError(f"{outside_support(likelihood, np.asarray(xs), name)}{where}")


@lru_cache(maxsize=64)
def _likelihood(model: VAE, shape: tuple[int, ...], dtype: Any) -> tuple[Distribution, tuple[int, ...] | None]:
    """p(x | z) with shapes in the place of arrays, and the shape of its mean; traced only, nothing is computed."""

    def trace(key: jax.Array, x: jax.Array) -> tuple[Distribution, Any]:
        params = model.init(key)
        decoded = model.decode(params, model.encode(params, x).sample(key))
        return decoded, getattr(decoded, "mean", None)

    likelihood, mean = jax.eval_shape(trace, jax.random.key(0), jax.ShapeDtypeStruct(shape, dtype))
    return likelihood, mean.shape if isinstance(mean, jax.ShapeDtypeStruct) else None
