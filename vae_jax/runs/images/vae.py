"""VAEs on images, composed from a choice on each axis, with their objectives."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data import scale
from vae_jax.models import output_bias, vae
from vae_jax.models._model import Model
from vae_jax.networks import Network, in_precision, rematerialized
from vae_jax.objectives import Objective, has_closed_form_kl
from vae_jax.runs.choices import (
    BINARIZATIONS,
    LIKELIHOODS,
    NETWORKS,
    OBJECTIVES,
    ON_IMAGES,
    OPTIMIZERS,
    POSTERIORS,
    PRIORS,
    SCHEDULES,
    Facts,
    Shapes,
    StartingImages,
    build_objective,
)
from vae_jax.runs.images.problem import Problem, fitted_to, spread_images
from vae_jax.runs.keys import keys_of
from vae_jax.runs.recipe import PreparedRun
from vae_jax.runs.settings import Settings

AXES = (NETWORKS, POSTERIORS, PRIORS, LIKELIHOODS, BINARIZATIONS, ON_IMAGES, OPTIMIZERS, SCHEDULES)


def make_model(settings: Settings, problem: Problem) -> Model:
    """Builds the model that the settings describe: a VAE, or a `Conditional` if it takes labels or masks.

    Raises:
      ValueError: if the image size does not suit the network.
    """
    posterior = POSTERIORS.build(settings, settings.latent_dim)
    shapes = Shapes(
        problem.contexts.encoder_input(problem.image_shape),
        math.prod(posterior.output_shape),
        settings.latent_dim,
        problem.likelihood.output_shape(problem.image_shape),
        output_bias(problem.likelihood, problem.mean_image),
        problem.num_classes or 0,
    )
    encoder, decoder = (configured(settings, network) for network in NETWORKS.build(settings, shapes))
    plain = vae(encoder, decoder, posterior, problem.likelihood)
    model = problem.contexts.model(plain)

    def take(count: int) -> tuple[Any, Any]:
        images, labels = spread_images(problem, count)
        repeated = jnp.arange(count) % len(images)  # there may be fewer images than `count`
        return scale(jax.random.key(0), images)[repeated], None if labels is None else labels[repeated]

    starting = StartingImages(problem.image_shape, take if len(problem.validation) else None)
    model = PRIORS.build(settings, model, settings.latent_dim, starting)
    return OBJECTIVES.of(settings).model(model, settings.latent_dim)


def configured(settings: Any, network: Network) -> Network:
    """Returns the network with the precision and the rematerialization that the settings ask for."""
    if settings.precision != "float32":
        network = in_precision(network, settings.precision)
    return rematerialized(network) if settings.rematerialize else network


def make_objective(settings: Settings, problem: Any, model: Model, num_steps: int, weight: Any) -> Objective:
    """Builds the objective that the settings name, with its warm-up."""
    facts = Facts(settings.latent_dim, problem.num_examples, num_steps, _closed_form_kl(model, problem))
    return build_objective(settings, facts, settings.kl_warm_up * num_steps // settings.epochs)


def _closed_form_kl(model: Model, problem: Any) -> bool:
    return has_closed_form_kl(model, jax.eval_shape(model.init, jax.random.key(0)), problem.example)


def fit_prior_after(settings: Settings) -> Any:
    """Function (prepared, params) -> params that fits the prior to the codes, or None if the prior is not fitted."""
    fit = PRIORS.of(settings).fit
    if fit is None:
        return None
    key = keys_of(settings.seed).fitting
    return lambda prepared, params: fit(prepared.model, params, fitted_to(prepared.problem, key))


def describe_kl(prepared: PreparedRun) -> str:
    """Text that tells how a weighted ELBO computes its KL; empty for other objectives."""
    settings = prepared.settings
    if not isinstance(settings, Settings) or not OBJECTIVES.of(settings).either_kl:
        return ""
    if _closed_form_kl(prepared.model, prepared.problem):
        return "KL in closed form; "
    return f"KL estimated by sampling z, because it has no closed form with --prior {settings.prior}; "
