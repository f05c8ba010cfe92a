"""Likelihoods p(x | z) of pixels by name, each with its preprocessing of 8-bit pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.typing import ArrayLike

from vae_jax import data
from vae_jax.models import Likelihood, likelihoods
from vae_jax.runs.choices._choice import Axis, Choice


class Pixels(NamedTuple):
    """Preprocessing of 8-bit pixels."""

    prepare: Callable[[jax.Array, ArrayLike], jax.Array]  # (key, uint8) -> float32, inside the jitted step
    # 1: p(x | z) is of the 8-bit pixels; 256: a density of them, dequantized on [0, 1]; None: neither
    levels: int | None


BITS, _SCALED, _DEQUANTIZED = Pixels(data.binarize, None), Pixels(data.scale, None), Pixels(data.dequantize, 256)


@dataclasses.dataclass(frozen=True)
class LikelihoodChoice(Choice):
    """A likelihood of pixels."""

    pixels: Pixels = _SCALED


def _row(name: str, likelihood: Likelihood, pixels: Pixels, help: str, *cites: object) -> LikelihoodChoice:
    return LikelihoodChoice(name, lambda: likelihood, help, (likelihood, *cites), pixels=pixels)


LIKELIHOODS = Axis(
    "likelihood",
    _row("bernoulli", likelihoods.bernoulli, _SCALED, "bits, or gray values as probabilities of 1"),
    _row("continuous_bernoulli", likelihoods.continuous_bernoulli, _SCALED, "gray values in [0, 1]"),
    _row("logistic", likelihoods.logistic, Pixels(data.scale, 1), "8-bit values, logistic distribution in 256 bins"),
    _row("normal", likelihoods.normal, _DEQUANTIZED, "Normal density of dequantized values", data.dequantize),
    _row("laplace", likelihoods.laplace, _DEQUANTIZED, "Laplace density of dequantized values", data.dequantize),
)
BINARIZATIONS = Axis(
    "binarization",
    Choice("static", data.static_binarization, "bits drawn once", (data.static_binarization,)),
    Choice("dynamic", data.binarize, "bits drawn again at every step", (data.binarize,)),
    Choice("none", data.scale, "gray values as they are"),
)
