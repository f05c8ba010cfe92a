"""Curves of a bound over a long training, for comparison with a published table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from vae_jax.visualization._style import DPI, TRAIN, VALIDATION, fit_canvas, fixed, styled

WIDTH, HEIGHT = 6.4, 3.6  # inches of the frame
COLORS = (TRAIN, VALIDATION, "#009E73", "#CC79A7")  # Okabe & Ito's, as in style.py


@styled
def bounds_by_epoch(runs: Mapping[str, Sequence[Mapping[int, float]]]) -> Figure:
    """Draws the bound on validation images against epochs, on a logarithmic axis; early values may exceed the frame.

    Args:
      runs: For each model name, one curve {epoch: negative bound, nats per image} per seed; the seeds of a model share
        a color. The legend shows the last value, averaged over seeds.

    Raises:
      ValueError: If there are no models, more models than colors, no epochs, or values that are not finite.
    """
    if not 1 <= len(runs) <= len(COLORS):
        raise ValueError(f"runs must hold 1 to {len(COLORS)} models, got {len(runs)}")
    values = np.array([value for curves in runs.values() for curve in curves for value in curve.values()])
    if not all(curves and all(curves) for curves in runs.values()) or not np.isfinite(values).all():
        raise ValueError(
            "runs must hold one curve or more for each model, each with finite values at one or more epochs"
        )
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    for (name, curves), color in zip(runs.items(), COLORS, strict=False):
        last = float(np.mean([curve[max(curve)] for curve in curves]))
        for index, curve in enumerate(curves):
            label = f"{name}: {fixed(last)} at the end" if not index else None
            axes.plot(*zip(*sorted(curve.items()), strict=True), color=color, linewidth=1.6, label=label)
    epochs = [epoch for curves in runs.values() for curve in curves for epoch in curve]
    axes.set_xscale("log")
    axes.set_xlim(0.95 * min(epochs), 1.05 * max(epochs))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    # The first epochs are hundreds of nats worse, which would leave no room for the last.
    low, high = values.min(), np.quantile(values, 0.95)
    span = max(high - low, 0.1)
    axes.set_ylim(low - 0.08 * span, high + 0.08 * span)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="y")
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative bound on validation images, nats")
    axes.legend(loc="upper right")
    fit_canvas(figure, axes, WIDTH, HEIGHT)
    return figure
