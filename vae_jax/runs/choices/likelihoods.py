"""Likelihoods p(x | z) of pixels, and binarizations of pixels, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
from jax.typing import ArrayLike

from vae_jax import data
from vae_jax.models import Likelihood, column_likelihoods, likelihoods
from vae_jax.runs.choices._choice import Axis, Choice

Prepare = Callable[[jax.Array, ArrayLike], jax.Array]  # (key, uint8) -> float32, inside the jitted step


@dataclasses.dataclass(frozen=True)
class LikelihoodChoice(Choice):
    """A likelihood of pixels."""

    prepare: Prepare = data.scale


@dataclasses.dataclass(frozen=True)
class BinarizationChoice(Choice):
    """A binarization of pixels, or none."""

    prepare: Prepare | None = None  # None: the preprocessing of the likelihood is used
    once: bool = False  # whether the bits are drawn once before the training, so that `prepare` only scales them


def _row(name: str, likelihood: Likelihood) -> LikelihoodChoice:
    """Row of a likelihood of `vae_jax.models.likelihoods`."""
    prepare, cites = (data.dequantize, (data.dequantize,)) if likelihood.levels == 256 else (data.scale, ())
    return LikelihoodChoice(name, lambda: likelihood, likelihood.values, (likelihood, *cites), prepare=prepare)


LIKELIHOODS = Axis(
    "likelihood", *(_row(name, each) for name, each in vars(likelihoods).items() if isinstance(each, Likelihood))
)
_OF_GRAY = {
    "likelihood": tuple(name for name in LIKELIHOODS.names if name != "bernoulli"),
    "objective": ("optimal_variance",),  # of a Normal likelihood
}
BINARIZATIONS = Axis(
    "binarization",
    BinarizationChoice(
        "static", lambda: None, "bits drawn once", (data.static_binarization,), _OF_GRAY, prepare=data.scale, once=True
    ),
    BinarizationChoice(
        "dynamic", lambda: None, "bits drawn again at every step", (data.binarize,), _OF_GRAY, prepare=data.binarize
    ),
    BinarizationChoice("none", lambda: None, "gray values, not binarized"),
)
# Likelihoods of the continuous columns of a table, which are standardized.
CONTINUOUS = Axis(
    "likelihood",
    Choice("normal", lambda: column_likelihoods.normal, "Normal", (column_likelihoods.normal,)),
    Choice(
        "student_t",
        lambda: column_likelihoods.student_t,
        "Student-t, for columns with outliers",
        (column_likelihoods.student_t,),
    ),
)
