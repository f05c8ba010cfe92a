"""One row of a published table: the models to train and measure, and the claims on their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.lib.records import Claim
from vae_jax.models._model import VAE
from vae_jax.objectives import Objective
from vae_jax.params import Params
from vae_jax.training import Progress

Summaries = Mapping[str, Sequence[Mapping[str, Any]]]  # by variant, the summary.json of each seed


class Variant(NamedTuple):
    """One model of a row."""

    name: str  # prefix of its run folders
    claim: str  # description in the claims
    model: VAE
    objective: Objective  # of preprocessed images
    paper: float | None = None  # published nll
    bar: float | None = None  # highest accepted nll
    paper_active_units: int | None = None


class Recipe(NamedTuple):
    """Training settings of all variants of a row."""

    protocol: str  # description in the record
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int
    params: Callable[[Progress], Params]  # returns the parameters to measure
    patience: int | None = None


class Row(NamedTuple):
    """Models of one row, and their recipe."""

    title: str
    variants: Sequence[Variant]
    recipe: Recipe
    difference_bar: float | None = None  # with two variants: highest accepted difference of nll, second minus first


class Images(NamedTuple):
    """Images for training and measuring a row."""

    train: np.ndarray  # uint8 [N, H, W, C]
    validation: np.ndarray
    test: jax.Array  # [L, H, W, C], preprocessed


class Measuring(NamedTuple):
    """Settings for measuring a trained model."""

    nll_samples: int  # K, importance samples per test image
    ais_images: int = 0  # number of test images, from the first, and of images drawn from the model, for annealing
    ais_chains: int = 16
    ais_temperatures: int = 1000


def protocol_of(row: Row, images: Images, measuring: Measuring) -> str:
    """Description of training and measuring, for the record."""
    protocol = (
        f"{row.recipe.protocol}; {len(images.train)} training images, binarized again at every read; nll of "
        f"{len(images.test)} test images by K = {measuring.nll_samples} importance samples each"
    )
    if measuring.ais_images:
        protocol += (
            f"; annealing from q(z | x), {measuring.ais_chains} chains each over {measuring.ais_temperatures} "
            "temperatures; the gap is between its two bounds on images that the model draws"
        )
    return f"{protocol}."


def claims_of(row: Row, summaries: Summaries, measuring: Measuring) -> list[Claim]:
    """Claims on every variant, on annealing if it was requested, and on the difference between two nlls."""
    claims = [claim for variant in row.variants for claim in _claims(variant, summaries[variant.name])]
    if measuring.ais_images:
        claims += [claim for variant in row.variants for claim in _annealing(variant, summaries[variant.name])]
    return claims + _difference(row, summaries)


def _claims(variant: Variant, results: Sequence[Mapping[str, Any]]) -> list[Claim]:
    nll = Claim(f"nll, {variant.claim}", "nats", [r["nll"] for r in results], variant.paper, variant.bar)
    heavy = [100 * r["pareto_k_above_limit"] for r in results]
    units = np.array([np.atleast_1d(r["active_units"]) for r in results])  # [seeds, stochastic layers]
    layers = [f", layer {i}" for i in range(1, units.shape[1] + 1)] if units.shape[1] > 1 else [""]
    return [
        nll,
        Claim(f"test images whose Pareto k is above its limit, {variant.claim}", "%", heavy),
        Claim(f"negative ELBO, {variant.claim}", "nats", [r["negative_elbo"] for r in results]),
        *(
            Claim(f"active units, {variant.claim}{layer}", "", counts.tolist(), variant.paper_active_units)
            for layer, counts in zip(layers, units.T, strict=True)
        ),
    ]


def _annealing(variant: Variant, results: Sequence[Mapping[str, Any]]) -> list[Claim]:
    nll = f"nll of the first {results[0]['ais_images']} test images"
    claims = {
        f"{nll}, importance sampling": "ais_images_nll",
        f"{nll}, annealed importance sampling": "ais_nll",
        "gap between the two bounds of annealing": "bdmc_gap",
    }
    return [Claim(f"{claim}, {variant.claim}", "nats", [r[name] for r in results]) for claim, name in claims.items()]


def _difference(row: Row, summaries: Summaries) -> list[Claim]:
    if row.difference_bar is None:
        return []
    first, second = row.variants
    differences = [b["nll"] - a["nll"] for a, b in zip(summaries[first.name], summaries[second.name], strict=True)]
    return [
        Claim(f"nll, {second.claim} minus {first.claim}", "nats", differences, at_most=row.difference_bar),
        Claim("the difference: maximum over the seeds", "nats", [max(differences)], at_most=row.difference_bar),
    ]
