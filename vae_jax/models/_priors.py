"""Priors as an axis of their own: functions from a model to the same model with another p(z).

They replace `init` and `prior` and nothing else; the prior's parameters stand under "prior" in `params`, and are
trained with the rest. A mixture has no closed-form divergence: train with `negative_sampled_elbo` or an
importance-weighted objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution, Mixture, Normal
from vae_jax.distributions._checks import LARGEST_SIZE, check_count
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._model import VAE
from vae_jax.params import Params

# Where the pixels of a pseudo-input start: N(mean, deviation^2).
PSEUDO_INPUT_MEAN, PSEUDO_INPUT_DEVIATION = 0.05, 0.01


def with_mixture_prior(model: VAE, latent_dim: int, num_components: int) -> VAE:
    """The model with p(z) = sum_k softmax(logits)_k N(z; mean_k, diag exp(log_variance_k)), all three trained.

    It starts with equal weights, variances of 1, and means drawn from N(0, I). (Tomczak & Welling keep the weights at
    1/K.)

    Args:
      model: z must be one vector.
      latent_dim: D, its length; at least 1.
      num_components: K, at least 1.

    Raises:
      ValueError: where latent_dim or num_components is below 1.

    Source: Tomczak & Welling 2018 (arXiv:1705.07120), where it is what the VampPrior is compared with.
    """
    check_latent_dim(latent_dim)
    _check_count("num_components", num_components)
    shape = (num_components, latent_dim)

    def init(key: jax.Array) -> Params:
        means = jax.random.normal(key, shape)
        return {"logits": jnp.zeros(num_components), "mean": means, "log_variance": jnp.zeros(shape)}

    return _with_prior(
        model,
        init,
        lambda params: Mixture(
            params["prior"]["logits"], Normal(params["prior"]["mean"], params["prior"]["log_variance"])
        ),
    )


def with_vamp_prior(
    model: VAE, num_pseudo_inputs: int, image_shape: Sequence[int], initial_images: ArrayLike | None = None
) -> VAE:
    """The model with p(z) = 1/K sum_k q(z | clip(u_k, 0, 1)), the pseudo-inputs u_k trained: the VampPrior.

    The posteriors of the pseudo-inputs do not depend on the example, so a `vmap` over a batch (or over samples)
    encodes them once; a step costs one more pass of the encoder over K images. A pixel outside [0, 1] has no gradient.
    Over a posterior of several parts (a Chain) every component holds a copy of the later parts' networks.

    Args:
      model: any model whose posterior has a density.
      num_pseudo_inputs: K, at least 1; 500 in the paper.
      image_shape: of one example.
      initial_images: `[K, *image_shape]` in [0, 1], for example training images, where the pseudo-inputs start, except
        that pixels below 0.01 or above 0.99 start there, since at the ends of the clip they would stay for ever; where
        None, every pixel starts from N(0.05, 0.01^2).

    Raises:
      ValueError: where num_pseudo_inputs is below 1, or initial_images has another shape or values outside [0, 1].
      TypeError: where initial_images are not floating-point numbers (raw uint8 pixels).

    Source: Tomczak & Welling 2018 (arXiv:1705.07120).
    """
    _check_count("num_pseudo_inputs", num_pseudo_inputs)
    shape = (num_pseudo_inputs, *image_shape)
    images = None if initial_images is None else _alive(initial_images, shape)

    def init(key: jax.Array) -> Params:
        if images is not None:
            return {"pseudo_inputs": jnp.array(images)}  # a copy: training donates its parameters' memory
        return {"pseudo_inputs": PSEUDO_INPUT_MEAN + PSEUDO_INPUT_DEVIATION * jax.random.normal(key, shape)}

    def prior(params: Params) -> Mixture:
        inputs = jnp.clip(params["prior"]["pseudo_inputs"], 0.0, 1.0)
        return Mixture(jnp.zeros(num_pseudo_inputs), jax.vmap(lambda u: model.encode(params, u))(inputs))

    return _with_prior(model, init, prior)


def _with_prior(model: VAE, init_prior: Callable[[jax.Array], Any], prior: Callable[[Params], Distribution]) -> VAE:
    def init(key: jax.Array) -> Params:
        model_key, prior_key = jax.random.split(key)
        return {**model.init(model_key), "prior": init_prior(prior_key)}

    return model._replace(init=init, prior=prior)


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


def _check_count(name: str, count: int) -> None:
    check_count(name, count, most=LARGEST_SIZE)
