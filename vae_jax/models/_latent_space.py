"""Functions of a trained model on one example: encode, decode, sample, interpolate; map over a batch with `jax.vmap`.

Returned images are means of the decoder, as papers show them; `decode(...).sample(key)` draws pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, mean_of, point_estimate_of
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models._checks import check_example, checked_given
from vae_jax.models._model import Model, given, model_input
from vae_jax.params import Params

Path = Callable[[Any, Any, jax.Array], Any]  # (z0, z1, t in [0, 1]) -> z


def encode(model: Model, params: Params, x: Any, context: Any = None) -> Distribution:
    """Returns the posterior q(z | x).

    Args:
      model: the model.
      params: parameters of the model.
      x: one preprocessed example.
      context: context of x for a `Conditional`; None for a VAE.

    Raises:
      TypeError: if x holds raw uint8 pixels or is an `Example`; if a VAE is given a context, or a `Conditional` none.
      ValueError: if x does not have the shape of the model's examples, or is outside the support of the likelihood, or
        if the context is refused by the model's check. Under the caller's `jit`, `grad` or `vmap` values are not known:
        only shapes and dtypes are checked. All functions here that take an x or a context raise these errors.
    """
    x = model_input("x", x)
    check_example(model, x, context=context)
    return given(model, context).encode(params, x)


def latent_code(model: Model, params: Params, x: Any, context: Any = None) -> Any:
    """Point estimate of z: the mean of q(z | x), or the ancestral mean of a Chain."""
    return point_estimate_of(encode(model, params, x, context))


def decode(model: Model, params: Params, z: Any, context: Any = None) -> Distribution:
    """Returns the likelihood p(x | z); its `mean` is the decoded image."""
    return checked_given(model, context).decode(params, z)


def sample(model: Model, params: Params, key: jax.Array, context: Any = None) -> Any:
    """Draws z ~ p(z) and returns the decoder's mean, with the shape of x."""
    vae = checked_given(model, context)
    return mean_of(vae.decode(params, vae.prior(params).sample(key)))


def reconstruct(model: Model, params: Params, x: Any, context: Any = None) -> Any:
    """Reconstruction of x, with its shape: the decoder's mean at the `latent_code` of x."""
    return mean_of(decode(model, params, latent_code(model, params, x, context), context))


def straight_line(z0: Any, z1: Any, t: jax.Array) -> Any:
    """(1 - t) z0 + t z1, for every leaf of a pytree z; integer leaves switch from z0 to z1 at t = 1/2."""
    return jax.tree.map(
        lambda start, end: _switch(start, end, t) if _is_integer(start) else _line(start, end, t), z0, z1
    )


def _line(z0: jax.Array, z1: jax.Array, t: jax.Array) -> jax.Array:
    return (1.0 - t) * z0 + t * z1


def _switch(z0: jax.Array, z1: jax.Array, t: jax.Array) -> jax.Array:
    return jnp.where(t < 0.5, z0, z1)


def _is_integer(z: jax.Array) -> bool:
    return bool(jnp.issubdtype(z.dtype, jnp.integer))


def great_circle(z0: Any, z1: Any, t: jax.Array) -> Any:
    """(sin((1 - t) w) z0 + sin(t w) z1) / sin(w), with w the angle between z0 and z1.

    Draws of a high-dimensional Normal lie near a sphere; this path stays near it, unlike the straight line. If z0 and
    z1 are parallel or opposite, the great circle is not unique, and the straight line is used. Every leaf of a pytree z
    has its own circle.

    Source: White 2016 (arXiv:1609.04468), section 2.1.
    """
    return jax.tree.map(
        lambda start, end: _switch(start, end, t) if _is_integer(start) else _circle(start, end, t), z0, z1
    )


def _circle(z0: jax.Array, z1: jax.Array, t: jax.Array) -> jax.Array:
    cosine = jnp.vdot(z0, z1) / jnp.maximum(jnp.linalg.norm(z0) * jnp.linalg.norm(z1), 1e-12)
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    parallel = jnp.sin(angle) < 1e-3
    divisor = jnp.where(parallel, 1.0, jnp.sin(angle))
    circle = (jnp.sin((1.0 - t) * angle) * z0 + jnp.sin(t * angle) * z1) / divisor
    return jnp.where(parallel, _line(z0, z1, t), circle)


def interpolate(
    model: Model,
    params: Params,
    x0: Any,
    x1: Any,
    num_steps: int = 9,
    path: Path = straight_line,
    context: Any = None,
) -> Any:
    """Decoder means along a path between the latent codes of two examples.

    Args:
      model: the model.
      params: parameters of the model.
      x0: example at the start of the path.
      x1: example at the end of the path.
      num_steps: number of decoded images, with both ends; at least 2.
      path: `straight_line` or `great_circle`, or your own function (z0, z1, t) -> z.
      context: context of x0, x1 and all decoded images for a `Conditional`; None for a VAE.

    Returns:
      `[num_steps, *x0.shape]`; the first and the last are the reconstructions of x0 and x1.
    """
    check_count("num_steps", num_steps, 0, LARGEST_SIZE)
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2, for the two ends, got {num_steps}")
    z0, z1 = latent_code(model, params, x0, context), latent_code(model, params, x1, context)
    vae, steps = given(model, context), jnp.linspace(0.0, 1.0, num_steps)
    return jax.vmap(lambda t: mean_of(vae.decode(params, path(z0, z1, t))))(steps)


def traverse(model: Model, params: Params, x: Any, values: ArrayLike, context: Any = None) -> Any:
    """Latent traversal: decoder means with each dimension of the latent code of x set to each of the values.

    Args:
      model: a model whose z is one vector `[D]`.
      params: parameters of the model.
      x: example whose latent code gives the values of the other dimensions.
      values: values of the traversed dimension in units of z, `[V]`, or `[D, V]` for separate values per dimension.
      context: context of x and all decoded images for a `Conditional`; None for a VAE.

    Returns:
      `[D, V, *x.shape]`.

    Raises:
      TypeError: if z is not one vector.
    """
    z, values, vae = latent_code(model, params, x, context), jnp.asarray(values), given(model, context)
    shapes = [leaf.shape for leaf in jax.tree.leaves(z)]
    if not isinstance(z, jax.Array) or z.ndim != 1:
        raise TypeError(
            f"traverse needs a model whose z is one vector, got a {type(z).__name__} of shapes {shapes}; instead, "
            "change entries of models.latent_code(model, params, x) and decode it with models.decode"
        )
    values = jnp.broadcast_to(values, (z.shape[0], values.shape[-1]))
    decoded = lambda d, value: mean_of(vae.decode(params, z.at[d].set(value)))
    over_values = jax.vmap(decoded, in_axes=(None, 0))
    return jax.vmap(over_values)(jnp.arange(z.shape[0]), values)
