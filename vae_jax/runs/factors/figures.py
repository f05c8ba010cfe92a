"""Figures of a run on known factors: its scores, and a look at one of its models."""

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
from vae_jax.visualization._disentanglement import information_map, response_maps, score_strips, scores_by_step
from vae_jax.visualization._model_figures import Captioned, Subject, reconstruction_and_traversal

_SHOWN_IMAGES, _MAP_POINTS = 100, 10_000
_WORDS = {name: metric_of(name).heading for name in SUPERVISED}


def run_figures(prepared: PreparedRun, summary: Mapping[str, Any]) -> Iterator[Captioned]:
    """Every figure of a run, in reading order; the model that is looked at is the one of the median MIG."""
    settings, data, model = prepared.settings, prepared.data, prepared.model
    word = weight_name(settings)
    records = [record for record in summary["models"] if "diverged" not in record]
    if not records:
        return
    labels = {weight_in(record): f"{word} {weight_in(record):g}" for record in records}
    values = {
        _WORDS[name]: {label: [r[name] for r in records if weight_in(r) == weight] for weight, label in labels.items()}
        for name in SUPERVISED
        if all(r.get(name) is not None for r in records)
    }
    if len(labels) <= 6:
        yield Captioned(
            "scores",
            "Scores",
            "A dot is a model, a bar the median over seeds. The gray band of each score reaches from what noise scores "
            "to what a code with a latent for each factor does (noise in the others): hardly any score reaches from 0 "
            f"to 1. For these two DCI is fitted to {summary['reference_dci_points']:,} images, for the models to "
            f"{summary['dci_points']:,}.",
            score_strips(values, *({_WORDS[n]: summary[end][n] for n in SUPERVISED} for end in ("ceiling", "floor"))),
        )
    if len({r["steps"] for r in summary["by_steps"]}) > 1 and len(labels) <= 6:
        panels: dict[str, dict[str, dict[int, list[float]]]] = {}
        for row in summary["by_steps"]:
            for name in ("factor_vae_score", "mig"):
                if name in row and weight_in(row) in labels:  # a model that has diverged has no scores
                    curves = panels.setdefault(_WORDS[name], {})
                    curves.setdefault(labels[weight_in(row)], {}).setdefault(row["steps"], []).append(row[name])
        words = "On a coarser grid of factors, 8 values of each at most: medians over seeds, and their range."
        yield Captioned("scores_by_step", "Scores against steps", words, scores_by_step(panels))
    order = sorted(range(len(records)), key=lambda i: records[i]["mig"])
    record = records[order[len(order) // 2]]
    index = summary["models"].index(record)
    params = load_mark(prepared, prepared.length.marks[-1])[index]
    of = f" Model: {word} {weight_in(record):g}, seed {record['seed']}, that of the median MIG."
    keys = keys_of(settings.seed)
    # All values of the two factors that the maps are over; of the others few will do.
    sizes = list(coarse_sizes(data.factor_sizes))
    for place in _plane(data):
        sizes[place] = table_sizes(settings, data)[place]
    table = table_with_progress(scorer_of(prepared), params, sizes, name="figures")
    yield from table_figures(table, data, keys.fitting, of)
    xs = draw_images(data, keys.evaluation, _SHOWN_IMAGES)
    yield from reconstruction_and_traversal(Subject(model, params, xs, None, None, table.kl_per_dimension, ()))


def table_figures(table: CodeTable, data: FactorData, key: jax.Array, of: str = "") -> Iterator[Captioned]:
    """Figures of a table of codes: the heat map of latents and factors, and the response maps over two factors.

    Args:
      table: codes of the images.
      data: the images and their factors.
      key: draws the images that the heat map is estimated from.
      of: a sentence for the captions: which model it is.
    """
    labeled = draw(table, key, _MAP_POINTS)
    varies = [name for name, size in zip(data.factor_names, table.factor_sizes, strict=True) if size > 1]
    varying = labeled.factors[:, [size > 1 for size in table.factor_sizes]]
    shares = mutual_information_matrix(labeled.codes, varying) / entropies(varying)[None, :]
    yield Captioned(
        "information",
        "What each latent tells of each factor",
        "Mutual information of a latent, cut into 20 bins, and a factor, as a share of the factor's entropy. A "
        "disentangled code has one dark cell in each row, and at most one in each column." + of,
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
        f"The mean of each latent over {data.factor_names[x]} and {data.factor_names[y]}, all other factors averaged; "
        "each on its own scale, blue low and red high. A latent of one of them has parallel stripes; one that carries "
        "0 nats shows nothing, enlarged." + of,
        response_maps(maps, names, data.factor_names[y], data.factor_names[x]),
    )


def _plane(data: FactorData) -> tuple[int, int]:
    """The places of the factors that are an x and a y."""
    names = data.factor_names
    x = next((i for i, name in enumerate(names) if name.endswith("_x")), len(names) - 2)
    y = next((i for i, name in enumerate(names) if name.endswith("_y")), len(names) - 1)
    return x, y
