"""Figures of a run on known factors: the scores of all models, and codes and images of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.data import FactorData
from vae_jax.evaluation.disentanglement import CodeTable, draw, mutual_information_matrix
from vae_jax.evaluation.disentanglement._mutual_information import entropies
from vae_jax.evaluation.disentanglement._scores import SUPERVISED
from vae_jax.runs.factors.scoring import (
    coarse_sizes,
    draw_images,
    load_mark,
    scorer_of,
    table_sizes,
    table_with_progress,
)
from vae_jax.runs.keys import keys_of
from vae_jax.runs.recipe import PreparedRun, weight_in, weight_name
from vae_jax.runs.reporting.metrics import metric_of
from vae_jax.runs.settings import Scoring
from vae_jax.visualization._disentanglement import information_map, response_maps, score_strips, scores_by_step
from vae_jax.visualization._model_figures import Captioned, Subject, reconstruction_and_traversal

_SHOWN_IMAGES, _MAP_POINTS = 100, 10_000
_HEADINGS = {name: metric_of(name).heading for name in SUPERVISED}


def run_figures(prepared: PreparedRun, summary: Mapping[str, Any]) -> Iterator[Captioned]:
    """Figures of a run, in reading order; those of a single model show the model with the median MIG."""
    settings, data, model = prepared.settings, prepared.data, prepared.model
    word = weight_name(settings)
    records = [record for record in summary["models"] if "diverged" not in record]
    if not records:
        return
    labels = {weight_in(record): f"{word} {weight_in(record):g}" for record in records}
    values = {
        _HEADINGS[name]: {
            label: [r[name] for r in records if weight_in(r) == weight] for weight, label in labels.items()
        }
        for name in SUPERVISED
        if all(r.get(name) is not None for r in records)
    }
    if len(labels) <= 6:
        yield Captioned(
            "scores",
            "Scores",
            "Each dot is a model, each bar the median over seeds. The gray band of a score reaches from the score of "
            "noise to the score of a code that has one latent for each factor and noise in the others; few scores span "
            f"the whole range from 0 to 1. DCI is fitted to {summary['reference_dci_points']:,} images for these two "
            f"references, and to {summary['dci_points']:,} for the models.",
            score_strips(
                values, *({_HEADINGS[n]: summary[end][n] for n in SUPERVISED} for end in ("ceiling", "floor"))
            ),
        )
    if len({r["steps"] for r in summary["by_steps"]}) > 1 and len(labels) <= 6:
        panels: dict[str, dict[str, dict[int, list[float]]]] = {}
        for row in summary["by_steps"]:
            for name in ("factor_vae_score", "mig"):
                if name in row and weight_in(row) in labels:  # a model that has diverged has no scores
                    curves = panels.setdefault(_HEADINGS[name], {})
                    curves.setdefault(labels[weight_in(row)], {}).setdefault(row["steps"], []).append(row[name])
        caption = "Median and range over seeds, measured on a coarser grid of at most 8 values of each factor."
        yield Captioned("scores_by_step", "Scores against steps", caption, scores_by_step(panels))
    order = sorted(range(len(records)), key=lambda i: records[i]["mig"])
    record = records[order[len(order) // 2]]
    index = summary["models"].index(record)
    params = load_mark(prepared, prepared.length.marks[-1])[index]
    shown = f" Model: {word} {weight_in(record):g}, seed {record['seed']}, which has the median MIG."
    keys = keys_of(settings.seed)
    table = table_with_progress(scorer_of(prepared), params, figure_sizes(settings, data), name="figures")
    yield from table_figures(table, data, keys.fitting, shown)
    xs = draw_images(data, keys.evaluation, _SHOWN_IMAGES)
    yield from reconstruction_and_traversal(Subject(model, params, xs, None, None, table.kl_per_dimension, ()))


def figure_sizes(settings: Scoring, data: FactorData) -> list[int]:
    """Number of values of each factor for `table_figures`: all of the two that the maps show, few of the others."""
    sizes = list(coarse_sizes(data.factor_sizes))
    for place in _plane(data):
        sizes[place] = table_sizes(settings, data)[place]
    return sizes


def table_figures(table: CodeTable, data: FactorData, key: jax.Array, shown: str = "") -> Iterator[Captioned]:
    """Figures of a table of codes: the heat map of latents and factors, and the response maps over two factors.

    Args:
      table: codes of the images.
      data: the images and their factors.
      key: draws the images that the heat map is estimated from.
      shown: sentence for the captions that names the model.
    """
    labeled = draw(table, key, _MAP_POINTS)
    varies = [name for name, size in zip(data.factor_names, table.factor_sizes, strict=True) if size > 1]
    varying = labeled.factors[:, [size > 1 for size in table.factor_sizes]]
    shares = mutual_information_matrix(labeled.codes, varying) / entropies(varying)[None, :]
    yield Captioned(
        "information",
        "Information about each factor in each latent",
        "Mutual information of a latent (in 20 bins) and a factor, as a share of the factor's entropy. A "
        "disentangled code has one dark cell in each row, and at most one in each column." + shown,
        information_map(np.clip(shares, 0, 1), varies),
    )
    grid = np.asarray(table.means).reshape(*table.factor_sizes, -1)
    x, y = _plane(data)
    others = tuple(axis for axis in range(len(table.factor_sizes)) if axis not in (x, y))
    means = grid.mean(axis=others)  # the earlier of the two factors first
    maps = np.moveaxis(means, -1, 0)
    if x < y:
        maps = maps.swapaxes(1, 2)
    kl = table.kl_per_dimension
    names = [f"z{d + 1}" + ("" if kl is None else f": {float(kl[d]):.2f} nats") for d in range(len(maps))]
    yield Captioned(
        "responses",
        "Where each latent responds",
        f"Mean of each latent against {data.factor_names[x]} and {data.factor_names[y]}, averaged over all other "
        "factors; each map has its own scale, from blue (low) to red (high). A latent that encodes one of the two "
        "factors has parallel stripes; a latent that carries 0 nats shows only noise, enlarged." + shown,
        response_maps(maps, names, data.factor_names[y], data.factor_names[x]),
    )


def _plane(data: FactorData) -> tuple[int, int]:
    """Indices of the factors for an x and a y position, or of the last two factors if there are no such names."""
    names = data.factor_names
    x = next((i for i, name in enumerate(names) if name.endswith("_x")), len(names) - 2)
    y = next((i for i, name in enumerate(names) if name.endswith("_y")), len(names) - 1)
    return x, y
