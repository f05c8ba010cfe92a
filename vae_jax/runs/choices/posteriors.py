"""Posteriors q(z | x) by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vae_jax.evaluation import Measures, measure_autoencoder, measure_vae
from vae_jax.models import posteriors
from vae_jax.runs.choices._choice import Axis, Choice


@dataclasses.dataclass(frozen=True)
class PosteriorChoice(Choice):
    """A posterior; `build` takes the length of z."""

    measure: Callable[..., Measures] = measure_vae  # measures a model that has it


POSTERIORS = Axis(
    "posterior",
    PosteriorChoice("normal", posteriors.normal, "Normal with a diagonal covariance", (posteriors.normal,)),
    PosteriorChoice(
        "full_covariance", posteriors.full_covariance, "Normal with a full covariance", (posteriors.full_covariance,)
    ),
    PosteriorChoice(
        "delta",
        posteriors.delta,
        "a single point, as in an autoencoder",
        (posteriors.delta,),
        measure=measure_autoencoder,
    ),
)
