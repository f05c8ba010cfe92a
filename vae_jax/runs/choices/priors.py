"""Priors p(z) over a latent code that is one vector, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vae_jax.evaluation import posterior_means
from vae_jax.models import (
    Conditional,
    fit_prior,
    for_each_context,
    with_fitted_prior,
    with_mixture_prior,
    with_vamp_prior,
)
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.runs.choices._choice import Axis, Choice

Fit = Callable[[Model, Params, Any], Params]  # (model, params, preprocessed training examples) -> params


@dataclasses.dataclass(frozen=True)
class PriorChoice(Choice):
    """A prior over a vector; `build` takes the model, the length of z and `StartingImages`."""

    fit: Fit | None = None  # fits the prior to the codes after training; None: trained with the model, or fixed


class StartingImages(NamedTuple):
    """Training images from which pseudo-inputs are initialized."""

    image_shape: tuple[int, ...]
    take: Callable[[int], tuple[Any, np.ndarray | None]] | None  # (count) -> (images, labels); None: there is no data


def _mixture(model: Model, latent_dim: int, images: StartingImages, *, components: int = 50) -> Model:
    make = lambda vae: with_mixture_prior(vae, latent_dim, components)
    return for_each_context(make, model) if isinstance(model, Conditional) else make(model)


def _vamp(model: Model, latent_dim: int, images: StartingImages, *, pseudo_inputs: int = 100) -> Model:
    start, labels = (None, None) if images.take is None else images.take(pseudo_inputs)
    make = partial(with_vamp_prior, num_pseudo_inputs=pseudo_inputs, image_shape=images.image_shape)
    if not isinstance(model, Conditional):
        return make(model, initial_images=start)
    # A model that is built to load its parameters finds the labels among them.
    contexts = np.zeros(pseudo_inputs, np.int32) if labels is None else labels
    return make(model, initial_images=start, contexts=contexts)


def _fitted(model: Model, latent_dim: int, images: StartingImages) -> Model:
    make = lambda vae: with_fitted_prior(vae, latent_dim)
    return for_each_context(make, model) if isinstance(model, Conditional) else make(model)


def _fit(model: Model, params: Params, examples: Any) -> Params:
    return fit_prior(params, posterior_means(model, params, examples))


_NO_CODES = ("delta",)
PRIORS = Axis(
    "prior",
    PriorChoice(
        "normal", lambda model, latent_dim, images: model, "standard Normal N(0, I)", not_with={"posterior": _NO_CODES}
    ),
    PriorChoice(
        "mixture",
        _mixture,
        "trained mixture of Normals",
        (with_mixture_prior,),
        {"posterior": _NO_CODES},
    ),
    PriorChoice(
        "vamp",
        _vamp,
        "VampPrior, mixture of the posteriors of trained pseudo-inputs",
        (with_vamp_prior,),
        {"posterior": _NO_CODES},
    ),
    PriorChoice(
        "fitted",
        _fitted,
        "Normal fitted to the codes after training",
        (fit_prior,),
        {"posterior": ("normal", "full_covariance")},
        fit=_fit,
    ),
)
