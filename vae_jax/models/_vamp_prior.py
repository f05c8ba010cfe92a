"""VampPrior: a mixture of the posteriors of trained pseudo-inputs, which have contexts for a conditional model."""

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

# Initial distribution of the pixels of a pseudo-input: N(mean, deviation^2).
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
    match_context: bool = False,
) -> Conditional: ...


def with_vamp_prior(
    model: Model,
    num_pseudo_inputs: int,
    image_shape: Sequence[int],
    initial_images: ArrayLike | None = None,
    contexts: Any = None,
    match_context: bool = False,
) -> Model:
    """Returns the model with the VampPrior p(z) = 1/K sum_k q(z | clip(u_k, 0, 1)) of trained pseudo-inputs u_k.

    For a `Conditional`, each pseudo-input has a fixed context c_k (a buffer), and p(z) = 1/K sum_k q(z | u_k, c_k) does
    not depend on the example. With `match_context` the prior is p(z | c), the mean over all k with c_k = c.

    The posteriors of the pseudo-inputs do not depend on the example, so a `vmap` over a batch (or over samples)
    encodes them once, and a step costs one more pass of the encoder over K images. A pixel outside [0, 1] has no
    gradient. With a posterior of several parts (a Chain), every component holds a copy of the networks of later parts.

    Args:
      model: a model whose posterior has a density.
      num_pseudo_inputs: K, at least 1; 500 in the paper.
      image_shape: shape of one example.
      initial_images: initial pseudo-inputs `[K, *image_shape]` in [0, 1], for example training images. They are clipped
        to [0.01, 0.99], since pixels at the ends of [0, 1] would have no gradient. Default: draws from N(0.05, 0.01^2).
      contexts: contexts of the pseudo-inputs with a leading axis [K], for example labels of the initial images; for a
        `Conditional` only, which requires them.
      match_context: whether the prior for a context uses only the pseudo-inputs with that context. The model's `check`
        refuses a context that no pseudo-input has; if it is traced, densities and draws are NaN instead.

    Raises:
      ValueError: if num_pseudo_inputs is below 1, initial_images has another shape or values outside [0, 1], or
        contexts has another length or an entry that the model's check refuses.
      TypeError: if initial_images are not floating-point numbers (raw uint8 pixels); if a `Conditional` is given no
        contexts, or a VAE is given contexts.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120).
    """
    check_count("num_pseudo_inputs", num_pseudo_inputs, most=LARGEST_SIZE)
    shape = (num_pseudo_inputs, *image_shape)
    images = None if initial_images is None else _clipped(initial_images, shape)

    def init(key: jax.Array) -> Params:
        if images is not None:
            return {"pseudo_inputs": jnp.array(images)}  # a copy, because training donates the memory of parameters
        return {"pseudo_inputs": PSEUDO_INPUT_MEAN + PSEUDO_INPUT_DEVIATION * jax.random.normal(key, shape)}

    if not isinstance(model, Conditional):
        if contexts is not None or match_context:
            raise TypeError("contexts and match_context are for a Conditional, got a VAE, which takes no context")

        def prior(params: Params) -> Mixture:
            inputs = jnp.clip(params["prior"]["pseudo_inputs"], 0.0, 1.0)
            return Mixture(jnp.zeros(num_pseudo_inputs), jax.vmap(lambda u: model.encode(params, u))(inputs))

        return with_prior(model, init, prior)
    return _conditional_vamp_prior(model, init, num_pseudo_inputs, contexts, match_context)


def _conditional_vamp_prior(
    model: Conditional, init_prior: Callable[[jax.Array], Any], count: int, contexts: Any, match_context: bool
) -> Conditional:
    if contexts is None:
        raise TypeError(
            "contexts must be those of the pseudo-inputs, with a leading axis [K], for a Conditional, got None"
        )
    if num_examples("contexts", contexts) != count:
        raise ValueError(
            f"contexts must have {count} entries, one for each pseudo-input, got {num_examples('contexts', contexts)}"
        )
    model.check("contexts", contexts)
    fixed = jax.tree.map(np.asarray, contexts)

    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        params = {**model.init(model_key), "prior": init_prior(prior_key)}
        # Buffers have no gradient, are saved with the parameters, and are not constants of the program.
        buffers = {**(split_buffers(params)[1] or {}), "pseudo_contexts": jax.tree.map(jnp.array, fixed)}
        return join_buffers(params, buffers)

    def given(context: Any) -> VAE:
        vae = model.given(context)

        def prior(params: Params) -> Mixture:
            inputs = jnp.clip(params["prior"]["pseudo_inputs"], 0.0, 1.0)
            pseudo_contexts = params["buffers"]["pseudo_contexts"]
            # Independent of the context of the example, so that a map over examples computes the components once.
            components = jax.vmap(lambda u, c: model.given(c).encode(params, u))(inputs, pseudo_contexts)
            if not match_context:
                return Mixture(jnp.zeros(count), components)
            equal = _equal_rows(pseudo_contexts, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], context))
            return Mixture(jnp.where(equal, 0.0, -jnp.inf), components)

        return vae._replace(init=init, prior=prior)

    def check(name: str, contexts: Any) -> None:
        model.check(name, contexts)
        if not match_context or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(contexts)):
            return
        given, found = jax.tree.map(np.asarray, contexts), np.zeros(num_examples(name, contexts), bool)
        for k in range(count):
            found |= _equal_rows(given, jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], fixed))
        if not found.all():
            first = int(np.argmin(found))
            value = jax.tree.map(lambda leaf: leaf[first].tolist(), given)
            raise ValueError(f"{name} must hold contexts of the pseudo-inputs, got {value} (first at example {first})")

    return Conditional(init, given, check)


def _equal_rows(rows: Any, row: Any) -> Any:
    """Booleans `[K]`: true for the rows of a pytree of arrays `[K, ...]` that equal the row `[1, ...]`."""
    equal = jax.tree.map(lambda a, b: (a == b).reshape(len(a), -1).all(axis=1), rows, row)
    return functools.reduce(lambda a, b: a & b, jax.tree.leaves(equal))


def _clipped(images: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """Checks initial images, and clips them to the range in which every pixel has a gradient, in float32."""
    images = jnp.asarray(images)
    if images.shape != shape:
        raise ValueError(f"initial_images must have shape [K, *image_shape] = {shape}, got {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"initial_images must be floating-point pixels in [0, 1], got dtype {images.dtype}")
    if not jnp.all((images >= 0) & (images <= 1)):
        raise ValueError(f"initial_images must be in [0, 1], got values from {images.min():g} to {images.max():g}")
    return jnp.clip(images.astype(jnp.float32), 0.01, 0.99)
