"""Disentanglement as a recipe: a grid of weights and seeds, rendered data, scores in place of test images."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from vae_jax.data import FactorData, load_factor_data
from vae_jax.data._dsprites import agreement_with_sprites
from vae_jax.data._factors import factors_of
from vae_jax.evaluation.disentanglement import (
    measure_disentanglement,
    measure_references,
    unsupervised_disentanglement_ranking,
)
from vae_jax.models import gaussian_vae
from vae_jax.networks import conv_encoder
from vae_jax.runs.choices import OPTIMIZERS, SCHEDULES, WEIGHTED, make_optimizer
from vae_jax.runs.factors import problem
from vae_jax.runs.factors.figures import run_figures
from vae_jax.runs.factors.scoring import on_the_way, score_all
from vae_jax.runs.folder import defined
from vae_jax.runs.machine import device_name
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Kind, Outcome, Prepared, Recipe, Trained, weight_in, weight_name
from vae_jax.runs.reporting.metrics import Metric, View, shown_in, text_of
from vae_jax.runs.reporting.report import save_figures
from vae_jax.runs.reporting.summaries import summary_to_add_to
from vae_jax.runs.settings import FactorSettings

# Numbers whose median and range over the seeds of each weight are shown.
SUMMARIZED = shown_in(View.SPREAD)
_REFERENCE_DCI_POINTS = 1_000
_SHOWN = 1_000  # images to look at a model by, evenly spread over the factors


def _opening(prepared: Prepared) -> str:
    settings, data, length = prepared.settings, prepared.data, prepared.length
    words = (
        f"{settings.objective} on {data.name}: {len(problem.members_of(settings))} models at once, "
        f"{settings.steps:,} steps, an epoch is {length.steps_per_epoch}; {device_name()}; in {prepared.folder.path}"
    )
    return f"{words}\n{agreement_with_sprites(data)}" if data.name == "dsprites" else words


def _finish(prepared: Prepared, models: Sequence[Trained], seconds: Callable[[], float]) -> Outcome:
    trained, started = seconds(), time.monotonic()
    diverged = {i: int(one.history[-1]["step"]) for i, one in enumerate(models) if "diverged" in one.summary}
    records = score_all(prepared, diverged)
    taken = {"training_seconds": trained, "scoring_seconds": round(time.monotonic() - started, 2)}
    return outcome(prepared, records, taken)


def redraw(prepared: Prepared, trained: Trained, summary: Mapping[str, Any]) -> Outcome:
    """Draws the figures of a finished run again, by the numbers in its summary."""
    seconds = {name: summary[name] for name in ("training_seconds", "scoring_seconds")}
    # `evaluate` may have scored it by other numbers of images than its settings say.
    points = {name: summary[name] for name in ("points", "dci_points")}
    settings = dataclasses.replace(prepared.settings, **points)
    return outcome(prepared._replace(settings=settings), summary["models"], seconds)


def outcome(prepared: Prepared, records: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> Outcome:
    """The summary and the figures of a run whose models have these records."""
    settings, data, folder = prepared.settings, prepared.data, prepared.folder
    earlier, reference_points = summary_to_add_to(folder), reference_dci_points(settings)
    references = {
        name: earlier[name]
        for name in ("ceiling", "floor")
        if earlier.get("points") == settings.points and earlier.get("reference_dci_points") == reference_points
    }
    summary: dict[str, Any] = {
        "objective": settings.objective,
        "steps": settings.steps,
        "seeds": list(range(settings.seed, settings.seed + settings.seeds)),
        "models": [dict(record) for record in records],
        "over_seeds": over_seeds(records),
        **(references or references_for(settings, data, settings.latent_dim)),
        "points": settings.points,
        "dci_points": settings.dci_points or settings.points,
        "reference_dci_points": reference_points,
        "whole_table": settings.whole_table,
        "by_steps": on_the_way(prepared),
        **seconds,
    }
    summary = defined(summary)
    word = weight_name(settings)
    say(f"{table_of(summary, word)}; {data.note}")
    figures = save_figures(folder, run_figures(prepared, summary))
    rows: dict[str, str] = {}
    for weight, numbers in summary["over_seeds"].items():
        for metric in SUMMARIZED:
            if metric.key in numbers:
                name = f"{metric.heading}, {word} {weight}: median (range)"
                rows[name] = spread_text(metric, numbers[metric.key])
    for reference in ("ceiling", "floor"):
        scores = summary[reference]
        rows |= {f"{m.heading}, {reference}": m.text(scores[m.key]) for m in SUMMARIZED if m.key in scores}
    left_out = ("by_steps", "ceiling", "floor", "over_seeds")
    return Outcome(f"Disentanglement: {settings.objective} on {data.name}", summary, figures, rows, left_out)


def reference_dci_points(settings: Any) -> int:
    """Images that DCI of ceiling and floor is fitted to: no more than a thousand, for its time."""
    return min(settings.dci_points or settings.points, _REFERENCE_DCI_POINTS)


def references_for(settings: Any, data: FactorData, latent_dim: int) -> dict[str, dict[str, float]]:
    """The scores of "ceiling" and "floor"."""
    say("scoring a code of a latent for each factor, and noise, to compare with")
    points = {"points": settings.points, "dci_points": reference_dci_points(settings)}
    return measure_references(data.factor_sizes, latent_dim, **points)


def over_seeds(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median and range over the models of each weight, for each score."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for weight in dict.fromkeys(weight_in(record) for record in records):
        for name in (metric.key for metric in SUMMARIZED):
            values = [r[name] for r in records if weight_in(r) == weight and r.get(name) is not None]
            if values:
                spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
                result.setdefault(f"{weight:g}", {})[name] = spread
    return result


def spread_text(metric: Metric, spread: Mapping[str, float]) -> str:
    """Median and range as text, such as "0.231 (0.198 to 0.260)"."""
    median, least, most = (metric.text(spread[name]) for name in ("median", "min", "max"))
    return f"{median} ({least} to {most})"


def table_of(summary: Mapping[str, Any], word: str) -> str:
    """The scores of each weight as lines of text, each beside its ceiling and its floor."""
    weights = list(summary["over_seeds"])
    heads = "".join(f"{f'{word} {weight}':>28}" for weight in weights)
    lines = [f"{'score':<22}{heads}{'floor':>9}{'ceiling':>9}"]
    for metric in SUMMARIZED:
        spreads = [summary["over_seeds"][weight].get(metric.key) for weight in weights]
        cells = [f"{spread_text(metric, spread) if spread else '':>28}" for spread in spreads]
        ends = [f"{text_of(summary[reference], metric.key):>9}" for reference in ("floor", "ceiling")]
        lines.append(f"{metric.heading:<22}" + "".join([*cells, *ends]))
    return "\n".join([*lines, f"median over {len(summary['seeds'])} seeds (lowest to highest)"])


def _show(settings: FactorSettings, data: FactorData) -> tuple[np.ndarray, jax.Array, np.ndarray]:
    """Images spread over all factors as pixels and as the model sees them, with the first factor as their label."""
    indices = np.linspace(0, data.num_images - 1, min(_SHOWN, data.num_images)).astype(np.int32)
    xs = jax.jit(FactorData.images)(data, jax.random.key(0), indices)
    pixels = np.asarray((255.0 * xs.clip(0.0, 1.0)).round()).astype(np.uint8)
    return pixels, xs, np.asarray(factors_of(indices, data.factor_sizes)[0])


FACTORS = Kind(
    load=lambda settings: load_factor_data(settings.data, settings.data_dir),
    resolve=problem.resolve,
    problem=problem.make_problem,
    without_data=problem.without_data,
    members=problem.members_of,
    alone=problem.alone,
    length=problem.length_of,
    default_name=lambda settings, stamp: f"{settings.objective}-{settings.data}-{stamp}",
    opening=_opening,
    finish=_finish,
    redraw=redraw,
    show=_show,
)
DISENTANGLE = Recipe(
    "disentangle",
    "Disentanglement",
    "Many models at once on images whose factors are known, scored as the field scores them.",
    FACTORS,
    FactorSettings(),
    problem.make_model,
    problem.make_objective,
    # A constant learning rate is a number in the checkpoints of earlier versions, which knew no schedule here.
    partial(make_optimizer, constant=float),
    axes=(WEIGHTED, OPTIMIZERS, SCHEDULES),
    check=problem.check,
    cites=(gaussian_vae, conv_encoder, measure_disentanglement, unsupervised_disentanglement_ranking),
    command="vae-jax train disentangle",
)
