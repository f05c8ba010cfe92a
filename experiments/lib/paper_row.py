"""One row of a published table: what is trained and measured, and what is claimed of the numbers."""

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

Summaries = Mapping[str, Sequence[Mapping[str, Any]]]  # by variant: what each seed's summary.json says


class Variant(NamedTuple):
    """One model of a row."""

    name: str  # of its run folders
    claim: str  # in words
    model: VAE
    objective: Objective  # of images as the model sees them
    paper: float | None = None  # the published nll
    bar: float | None = None  # the nll that is to be reached
    paper_active_units: int | None = None


class Recipe(NamedTuple):
    """How every variant of a row is trained."""

    protocol: str  # in words
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int
    params: Callable[[Progress], Params]  # those that are measured
    patience: int | None = None


class Row(NamedTuple):
    """What `prepare_row` checks, and what it returns trains, measures and records."""

    title: str
    variants: Sequence[Variant]
    recipe: Recipe
    difference_bar: float | None = None  # of two variants: how high the second's nll less the first's may be


class Images(NamedTuple):
    """What a row is trained and measured on."""

    train: np.ndarray  # uint8 [N, H, W, C]
    validation: np.ndarray
    test: jax.Array  # [L, H, W, C], as the models see them


class Measuring(NamedTuple):
    """How a trained model is measured."""

    nll_samples: int  # K, importance samples a test image
    ais_images: int = 0  # test images, the first so many, for annealing; and as many that the model draws
    ais_chains: int = 16
    ais_temperatures: int = 1000


def protocol_of(row: Row, images: Images, measuring: Measuring) -> str:
    """What one must know to measure the row again, in words."""
    protocol = (
        f"{row.recipe.protocol}; {len(images.train)} training images, their pixels drawn anew at every read; nll of "
        f"{len(images.test)} test images by K = {measuring.nll_samples} importance samples each"
    )
    if measuring.ais_images:
        protocol += (
            f"; annealing from q(z | x), {measuring.ais_chains} chains each over {measuring.ais_temperatures} "
            "temperatures, the gap that of its two bounds on images that the model draws"
        )
    return f"{protocol}."


def claims_of(row: Row, summaries: Summaries, measuring: Measuring) -> list[Claim]:
    """The numbers of every variant, those of annealing where it was asked for, and the difference of two nlls."""
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
    claims = {
        f"nll of the first {results[0]['ais_images']} test images, importance sampling": "ais_images_nll",
        "the same, annealed importance sampling": "ais_nll",
        "gap between the two bounds of annealing": "bdmc_gap",
    }
    return [Claim(f"{claim}, {variant.claim}", "nats", [r[name] for r in results]) for claim, name in claims.items()]


def _difference(row: Row, summaries: Summaries) -> list[Claim]:
    if row.difference_bar is None:
        return []
    first, second = row.variants
    differences = [b["nll"] - a["nll"] for a, b in zip(summaries[first.name], summaries[second.name], strict=True)]
    return [
        Claim(f"nll, {second.claim} less {first.claim}", "nats", differences, at_most=row.difference_bar),
        Claim("the same, the highest of the seeds", "nats", [max(differences)], at_most=row.difference_bar),
    ]
