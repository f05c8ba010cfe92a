"""VAEs on the rows of a table, composed from a choice on each axis."""

from __future__ import annotations

import dataclasses

from vae_jax.models import table_vae
from vae_jax.models._model import Model
from vae_jax.runs.choices import (
    CONTINUOUS,
    NETWORKS,
    OBJECTIVES,
    ON_IMAGES,
    OPTIMIZERS,
    POSTERIORS,
    PRIORS,
    SCHEDULES,
    StartingImages,
    alternatives,
)
from vae_jax.runs.limits import flag_of
from vae_jax.runs.settings import Settings
from vae_jax.runs.tables.problem import TableProblem, kinds_of

AXES = (NETWORKS, POSTERIORS, PRIORS, CONTINUOUS, ON_IMAGES, OPTIMIZERS, SCHEDULES)
# Settings that have a meaning for images only, beside the flags of networks that are refused.
_OF_IMAGES = ("size", "stream", "binarization", "condition", "missing", "mask_file")


def make_model(settings: Settings, problem: TableProblem) -> Model:
    """Builds the model that the settings describe: a `Conditional` whose context is the mask of observed cells."""
    encoding = problem.encoding
    likelihood, statistics = CONTINUOUS.build(settings), encoding.statistics
    model: Model = table_vae(encoding.shapes, settings.latent_dim, settings.hidden, likelihood, statistics)
    model = PRIORS.build(settings, model, settings.latent_dim, StartingImages((), None))
    return OBJECTIVES.of(settings).model(model, settings.latent_dim)


def check(settings: Settings) -> None:
    """Raises ValueError if a setting is one of images, or --columns cannot be read."""
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name in _OF_IMAGES:
        if (value := getattr(settings, name)) != defaults[name]:
            given = "" if value is True else f" {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
            raise ValueError(f"--{flag_of(name)}{given} is for images, and {settings.data} is a table: leave it out")
    if settings.network != "mlp":
        raise ValueError(f"--network {settings.network} is for images, and {settings.data} is a table: give mlp")
    for name, takes in {"posterior": ("normal",), "prior": ("normal", "mixture"), "precision": ("float32",)}.items():
        if (value := getattr(settings, name)) not in takes:
            ways = alternatives(takes)
            raise ValueError(f"--{name} {value} is for images, and {settings.data} is a table: give {ways}")
    if settings.objective == "optimal_variance":
        raise ValueError(
            f"--objective optimal_variance is for images, whose pixels share one, and {settings.data} is a table: "
            "give another objective"
        )
    if settings.rematerialize:
        raise ValueError(f"--rematerialize is for images, and {settings.data} is a table: leave it out")
    kinds_of(settings)
