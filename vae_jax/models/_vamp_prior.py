"""The VampPrior: the mean of the posteriors of pseudo-inputs that are trained; for a family, each with a context."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions import Mixture
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models._model import VAE, Conditional, Model, num_examples
from vae_jax.models._priors import with_prior
from vae_jax.params import Params, join_buffers, split_buffers

# Where the pixels of a pseudo-input start: N(mean, deviation^2).
PSEUDO_INPUT_MEAN, PSEUDO_INPUT_DEVIATION = 0.05, 0.01


@overload
def with_vamp_prior(
    model: VAE, num_pseudo_inputs: int, image_shape: Sequence[int], initial_images: ArrayLike | None = None
) -> VAE: ...


@overload
def with_vamp_prior(
    model: Conditional,
    num_pseudo_inputs: int,
    image_shape: Sequence[int],
    initial_images: ArrayLike | None = None,
    contexts: Any = None,
    of_same_context: bool = False,
) -> Conditional: ...


def with_vamp_prior(
    model: Model,
    num_pseudo_inputs: int,
    image_shape: Sequence[int],
    initial_images: ArrayLike | None = None,
    contexts: Any = None,
    of_same_context: bool = False,
) -> Model:
    """The model with p(z) = 1/K sum_k q(z | clip(u_k, 0, 1)), the pseudo-inputs u_k trained: the VampPrior.

    For a `Conditional` each pseudo-input has a context c_k of its own, which stays as it is (a buffer), and p(z) =
    1/K sum_k q(z | u_k, c_k) is one for all examples; with `of_same_context` it is p(z | c), the mean over the k of
    which c_k = c.

    The posteriors of the pseudo-inputs do not depend on the example, so a `vmap` over a batch (or over samples)
    encodes them once; a step costs one more pass of the encoder over K images. A pixel outside [0, 1] has no gradient.
    Over a posterior of several parts (a Chain) every component holds a copy of the later parts' networks.

    Args:
      model: any model whose posterior has a density.
      num_pseudo_inputs: K, at least 1; 500 in the paper.
      image_shape: of one example.
      initial_images: `[K, *image_shape]` in [0, 1], for example training images, where the pseudo-inputs start, except
        that pixels below 0.01 or above 0.99 start there, since at the ends of the clip they would stay for ever; if
        None, every pixel starts from N(0.05, 0.01^2).
      contexts: those of the pseudo-inputs, with a leading axis [K], for example their images' labels; needed by a
        `Conditional`, and by nothing else.
      of_same_context: the prior of a context is that of the pseudo-inputs with the same context. One that none of them
        has is refused by the model's `check`; if it is traced, and so not known, its density and draws are NaN.

    Raises:
      ValueError: if num_pseudo_inputs is below 1, initial_images has another shape or values outside [0, 1], or
        contexts has another length or an entry that does not suit the model.
      TypeError: if initial_images are not floating-point numbers (raw uint8 pixels); if a `Conditional` is given no
        contexts, or a VAE some.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120).
    """
    check_count("num_pseudo_inputs", num_pseudo_inputs, most=LARGEST_SIZE)
    shape = (num_pseudo_inputs, *image_shape)
    images = None if initial_images is None else _alive(initial_images, shape)

    def init(key: jax.Array) -> Params:
        if images is not None:
            return {"pseudo_inputs": jnp.array(images)}  # a copy: training donates its parameters' memory
        return {"pseudo_inputs": PSEUDO_INPUT_MEAN + PSEUDO_INPUT_DEVIATION * jax.random.normal(key, shape)}

    if not isinstance(model, Conditional):
        if contexts is not None or of_same_context:
            raise TypeError("contexts and of_same_context are for a Conditional, got a VAE, which takes no context")

        def prior(params: Params) -> Mixture:
            inputs = jnp.clip(params["prior"]["pseudo_inputs"], 0.0, 1.0)
            return Mixture(jnp.zeros(num_pseudo_inputs), jax.vmap(lambda u: model.encode(params, u))(inputs))

        return with_prior(model, init, prior)
    return _conditional_vamp_prior(model, init, num_pseudo_inputs, contexts, of_same_context)


def _conditional_vamp_prior(
    model: Conditional, init_prior: Callable[[jax.Array], Any], count: int, contexts: Any, of_same_context: bool
) -> Conditional:
    if contexts is None:
        raise TypeError("model is a Conditional: contexts must be those of the pseudo-inputs, with a leading axis [K]")
    if num_examples("contexts", contexts) != count:
        raise ValueError(
            f"contexts must be {count}, one for each pseudo-input, got {num_examples('contexts', contexts)}"
        )
    model.check("contexts", contexts)
    fixed = jax.tree.map(np.asarray, contexts)

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        params = {**model.init(model_key), "prior": init_prior(prior_key)}
        # Buffers: no gradient reaches them, they are saved with the parameters, and are no constants of the program.
        own = jax.tree.map(jnp.array, fixed)
        return join_buffers(params, {**(split_buffers(params)[1] or {}), "pseudo_contexts": own})

    def given(context: Any) -> VAE:
        vae = model.given(context)

        def prior(params: Params) -> Mixture:
            inputs, own = jnp.clip(params["prior"]["pseudo_inputs"], 0.0, 1.0), params["buffers"]["pseudo_contexts"]
            # Not of the example's context: a map over examples computes the components once.
            components = jax.vmap(lambda u, c: model.given(c).encode(params, u))(inputs, own)
            if not of_same_context:
                return Mixture(jnp.zeros(count), components)
            same = _same_rows(own, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], context))
            return Mixture(jnp.where(same, 0.0, -jnp.inf), components)

        return vae._replace(init=init, prior=prior)

    def check(name: str, contexts: Any) -> None:
        model.check(name, contexts)
        if not of_same_context or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(contexts)):
            return
        given, found = jax.tree.map(np.asarray, contexts), np.zeros(num_examples(name, contexts), bool)
        for k in range(count):
            found |= _same_rows(given, jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], fixed))
        if not found.all():
            first = int(np.argmin(found))
            one = jax.tree.map(lambda leaf: leaf[first].tolist(), given)
            raise ValueError(f"{name} must hold contexts of the pseudo-inputs, got {one} (first at example {first})")

    return Conditional(init, given, check)


def _same_rows(rows: Any, one: Any) -> Any:
    """Booleans `[K]`: which rows of a pytree of arrays `[K, ...]` equal that of one of arrays `[1, ...]`."""
    same = jax.tree.map(lambda a, b: (a == b).reshape(len(a), -1).all(axis=1), rows, one)
    return functools.reduce(lambda a, b: a & b, jax.tree.leaves(same))


def _alive(images: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """The images as float32, no pixel where the clip has no gradient."""
    images = jnp.asarray(images)
    if images.shape != shape:
        raise ValueError(f"initial_images must have shape [K, *image_shape] = {shape}, got {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"initial_images must be floating-point pixels in [0, 1], got dtype {images.dtype}")
    if not jnp.all((images >= 0) & (images <= 1)):
        raise ValueError(f"initial_images must be in [0, 1], got values from {images.min():g} to {images.max():g}")
    return jnp.clip(images.astype(jnp.float32), 0.01, 0.99)
