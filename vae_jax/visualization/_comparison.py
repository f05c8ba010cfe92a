"""Training curves of several runs in the same axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vae_jax.visualization._curves import OBJECTIVES, PARTS, Metric
from vae_jax.visualization._style import DPI, styled

# Okabe & Ito 2008, distinguishable with any color vision; more runs than colors change the line style.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")
MOST_RUNS = len(_COLORS) * len(_STYLES)


@styled
def compared_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], per: str = "image") -> Figure:
    """Draws the validation metrics of several runs in a panel each: negative ELBO, rate and distortion.

    A panel is drawn if any run has its metric; the loss is drawn if no run has any of the three. Several models of one
    run (rows with a "seed") are one line each.

    Args:
      histories: For each run name, its rows: "epoch", and any of "validation/elbo", "validation/rate",
        "validation/distortion", "validation/loss", in nats per example.
      per: Word for an example.

    Raises:
      ValueError: If there are no runs, more than 28, or no run has a metric.
    """
    if not 1 <= len(histories) <= MOST_RUNS:
        raise ValueError(f"histories must hold 1 to {MOST_RUNS} runs, got {len(histories)}")
    metrics = [metric for metric in (OBJECTIVES[0], *PARTS) if any(_lines(rows, metric) for rows in histories.values())]
    metrics = metrics or [OBJECTIVES[1]]
    if not any(_lines(rows, metric) for rows in histories.values() for metric in metrics):
        raise ValueError('histories must have rows with "validation/elbo", "rate", "distortion" or "loss"')
    figure = Figure(figsize=(4.0 * len(metrics), 3.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        ends = []
        for place, (name, rows) in enumerate(histories.items()):
            style = {"color": _COLORS[place % len(_COLORS)], "linestyle": _STYLES[place // len(_COLORS)]}
            for epochs, values in _lines(rows, metric):
                axes.plot(epochs, values, label=name, linewidth=1.4, **style)
                ends += values[len(values) // 10 :]
        axes.set_title(metric.title)
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        if ends:
            # The first few epochs of a run lie far above the others, which matter for the comparison.
            low, high = min(ends), max(ends)
            margin = 0.05 * (high - low or 1.0)
            axes.set_ylim(low - margin, high + margin)
    panels[0].set_ylabel(f"{metrics[0].unit} {per}")
    named = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside upper left", ncols=3, frameon=False)
    return figure


def _lines(rows: Sequence[Mapping[str, Any]], metric: Metric) -> list[tuple[list[float], list[float]]]:
    """Epochs and values of a metric for each model of a run that has it."""
    key, lines = f"validation/{metric.key}", []
    for seed in dict.fromkeys(row.get("seed") for row in rows):
        of_model = [row for row in rows if row.get("seed") == seed and row.get(key) is not None]
        of_model = [row for row in of_model if np.isfinite(row[key])]
        if of_model:
            lines.append(([float(r["epoch"]) for r in of_model], [metric.sign * float(r[key]) for r in of_model]))
    return lines
