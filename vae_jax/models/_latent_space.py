"""What one does with a trained model, for one example at a time: map over a batch with `jax.vmap`.

Images come back as the decoder's mean, which is what papers show; `decode(...).sample(key)` draws pixels.
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
    """q(z | x); its `mean`, if it has one, is the code of x.

    Args:
      model: the model.
      params: its parameters.
      x: one example, as the model sees it.
      context: that of x if the model is a `Conditional`; None for a VAE. In all functions here.

    Raises:
      TypeError: if x holds raw uint8 pixels or is an `Example`; if a VAE is given a context, or a `Conditional` none.
      ValueError: if x is of another shape than the model's examples, or outside the support of its likelihood, or the
        context does not suit the model. Under the caller's `jit`, `grad` or `vmap` values are not known: only shapes
        and dtypes are checked. All functions here that take an x or a context raise the same.
    """
    x = model_input("x", x)
    check_example(model, x, context=context)
    return given(model, context).encode(params, x)


def latent_code(model: Model, params: Params, x: Any, context: Any = None) -> Any:
    """Point estimate of z: the mean of q(z | x), or the ancestral mean of a Chain."""
    return point_estimate_of(encode(model, params, x, context))


def decode(model: Model, params: Params, z: Any, context: Any = None) -> Distribution:
    """p(x | z); its `mean` is the picture of z."""
    return checked_given(model, context).decode(params, z)


def sample(model: Model, params: Params, key: jax.Array, context: Any = None) -> Any:
    """The decoder's mean at one z ~ p(z), of the shape of x."""
    vae = checked_given(model, context)
    return mean_of(vae.decode(params, vae.prior(params).sample(key)))


def reconstruct(model: Model, params: Params, x: Any, context: Any = None) -> Any:
    """The decoder's mean at the `latent_code` of x: the reconstruction of x, of its shape."""
    return mean_of(decode(model, params, latent_code(model, params, x, context), context))


def straight_line(z0: Any, z1: Any, t: jax.Array) -> Any:
    """(1 - t) z0 + t z1, in every part where z is a tuple; integers, with nothing in between, change in the middle."""
    return jax.tree.map(lambda start, end: _switch(start, end, t) if _whole(start) else _line(start, end, t), z0, z1)


def _line(z0: jax.Array, z1: jax.Array, t: jax.Array) -> jax.Array:
    return (1.0 - t) * z0 + t * z1


def _switch(z0: jax.Array, z1: jax.Array, t: jax.Array) -> jax.Array:
    return jnp.where(t < 0.5, z0, z1)


def _whole(z: jax.Array) -> bool:
    return bool(jnp.issubdtype(z.dtype, jnp.integer))


def great_circle(z0: Any, z1: Any, t: jax.Array) -> Any:
    """(sin((1 - t) w) z0 + sin(t w) z1) / sin(w), with w the angle between z0 and z1.

    Codes of a high-dimensional Normal lie near a sphere; this path stays near it where the straight line cuts through.
    Where the two point the same or opposite ways no one great circle joins them: the straight line is taken. Where z is
    a tuple, every part goes along a circle of its own.

    Source: White 2016 (arXiv:1609.04468), section 2.1.
    """
    return jax.tree.map(lambda start, end: _switch(start, end, t) if _whole(start) else _circle(start, end, t), z0, z1)


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
    """Decoder means along a path between the codes of two examples, which have one context if the model takes any.

    Args:
      model: the model.
      params: its parameters.
      x0: where the path starts.
      x1: where it ends.
      num_steps: how many images, the two ends included; at least 2.
      path: `straight_line` or `great_circle`, or a function (z0, z1, t) of your own.
      context: that of x0, x1 and all decoded images, if the model is a `Conditional`.

    Returns:
      `[num_steps, *x0.shape]`; the first and the last are the reconstructions of x0 and x1.
    """
    check_count("num_steps", num_steps, 0, LARGEST_SIZE)
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2 (both ends are included), got {num_steps}")
    z0, z1 = latent_code(model, params, x0, context), latent_code(model, params, x1, context)
    vae, steps = given(model, context), jnp.linspace(0.0, 1.0, num_steps)
    return jax.vmap(lambda t: mean_of(vae.decode(params, path(z0, z1, t))))(steps)


def traverse(model: Model, params: Params, x: Any, values: ArrayLike, context: Any = None) -> Any:
    """Decoder means where one dimension of the code of x at a time takes each of the values.

    Args:
      model: a model whose z is one vector `[D]`.
      params: its parameters.
      x: the example whose code the other dimensions keep.
      values: `[V]`, what the traversed dimension is set to, in units of z; or `[D, V]`, its own for each dimension.
      context: that of x and of all decoded images, if the model is a `Conditional`.

    Returns:
      `[D, V, *x.shape]`.

    Raises:
      TypeError: if z is not one vector.
    """
    z, values, vae = latent_code(model, params, x, context), jnp.asarray(values), given(model, context)
    shapes = [leaf.shape for leaf in jax.tree.leaves(z)]
    if not isinstance(z, jax.Array) or z.ndim != 1:
        raise TypeError(
            f"traverse needs a z that is one vector, got a {type(z).__name__} of the shapes {shapes}; "
            "take models.latent_code(model, params, x), change the part you mean and give the whole to models.decode"
        )
    values = jnp.broadcast_to(values, (z.shape[0], values.shape[-1]))
    picture = lambda d, value: mean_of(vae.decode(params, z.at[d].set(value)))
    over_values = jax.vmap(picture, in_axes=(None, 0))
    return jax.vmap(over_values)(jnp.arange(z.shape[0]), values)
