"""Summary, figures and table of a run on known factors, made from the records of its models."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vae_jax.data import FactorData
from vae_jax.evaluation.disentanglement import measure_references
from vae_jax.runs.factors.figures import run_figures
from vae_jax.runs.factors.scoring import on_the_way
from vae_jax.runs.folder import defined
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Outcome, PreparedRun, weight_in, weight_name
from vae_jax.runs.reporting.metrics import Metric, View, shown_in, text_of
from vae_jax.runs.reporting.report import save_figures
from vae_jax.runs.reporting.summaries import summary_to_add_to

# Numbers whose median and range over the seeds of each weight are shown.
SUMMARIZED = shown_in(View.SPREAD)
_REFERENCE_DCI_POINTS = 1_000


def outcome(prepared: PreparedRun, records: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> Outcome:
    """Summary and figures of a run, from the records of its models."""
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
    """Number of images that DCI of ceiling and floor is fitted to: at most a thousand, because DCI is slow."""
    return min(settings.dci_points or settings.points, _REFERENCE_DCI_POINTS)


def references_for(settings: Any, data: FactorData, latent_dim: int) -> dict[str, dict[str, float]]:
    """Scores of the two references: "ceiling", one latent for each factor, and "floor", noise."""
    say("scoring the references: a code with one latent for each factor, and noise")
    points = {"points": settings.points, "dci_points": reference_dci_points(settings)}
    return measure_references(data.factor_sizes, latent_dim, **points)


def over_seeds(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median and range of each score over the models of each weight."""
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
    """Table of the scores of each weight, with their floor and ceiling, as lines of text."""
    weights = list(summary["over_seeds"])
    heads = "".join(f"{f'{word} {weight}':>28}" for weight in weights)
    lines = [f"{'score':<22}{heads}{'floor':>9}{'ceiling':>9}"]
    for metric in SUMMARIZED:
        spreads = [summary["over_seeds"][weight].get(metric.key) for weight in weights]
        cells = [f"{spread_text(metric, spread) if spread else '':>28}" for spread in spreads]
        ends = [f"{text_of(summary[reference], metric.key):>9}" for reference in ("floor", "ceiling")]
        lines.append(f"{metric.heading:<22}" + "".join([*cells, *ends]))
    count = len(summary["seeds"])
    return "\n".join([*lines, f"median over {count} seed{'s' * (count > 1)} (lowest to highest)"])
