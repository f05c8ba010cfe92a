"""Information of each latent about each factor, and distributions of scores over models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from vae_jax.visualization._style import DPI, FAINT, INK, TRAIN, VALIDATION, fit_canvas, fixed, styled

CELL = 0.55  # inches per cell of the heat map
COLORS = (TRAIN, VALIDATION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito's, as in style.py


@styled
def information_map(shares: ArrayLike, factor_names: Sequence[str]) -> Figure:
    """Draws the mutual information of each latent (column) and factor (row), as a share of the factor's entropy.

    A disentangled code has at most one dark cell in each column, and one in each row.

    Args:
      shares: `[D, K]`, 0 to 1. Latents are counted from 1, as in "z1".
      factor_names: Names of the K factors.

    Raises:
      ValueError: If the shape is wrong or a value is not finite.
    """
    shares = np.asarray(shares, np.float64)
    if shares.ndim != 2 or shares.shape[1] != len(factor_names) or not np.isfinite(shares).all():
        raise ValueError(f"shares must be finite, of shape [D, {len(factor_names)}], got shape {shares.shape}")
    latents, factors = shares.shape
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(shares.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for latent in range(latents):
        for factor in range(factors):
            share = shares[latent, factor]
            if share >= 0.005:
                axes.text(
                    latent,
                    factor,
                    fixed(share),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="w" if share > 0.55 else INK,
                )
    axes.set_xticks(range(latents), [f"z{latent + 1}" for latent in range(latents)])
    axes.set_yticks(range(factors), [name.replace("_", " ") for name in factor_names])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    fit_canvas(figure, axes, CELL * latents, CELL * factors)
    return figure


@styled
def response_maps(responses: ArrayLike, names: Sequence[str], row_name: str, column_name: str) -> Figure:
    """Draws the mean of each latent over two factors, one map per latent, each on its own color scale.

    Args:
      responses: `[D, rows, columns]`, mean of each latent.
      names: Names of the D latents, shown above their maps.
      row_name: Name of the factor that increases downwards.
      column_name: Name of the factor that increases to the right.

    Raises:
      ValueError: If the shape is wrong or a value is not finite.
    """
    responses = np.asarray(responses, np.float64)
    if responses.ndim != 3 or len(responses) != len(names) or not np.isfinite(responses).all():
        raise ValueError(f"responses must be finite, of shape [{len(names)}, rows, columns], got {responses.shape}")
    across = min(len(names), 5)
    down = -(-len(names) // across)
    side, gap, head = 1.2, 0.14, 0.3
    width, height = across * (side + gap) - gap, down * (side + head)
    figure = Figure(dpi=DPI)
    frame = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    frame.set_axis_off()
    for place, (name, response) in enumerate(zip(names, responses, strict=True)):
        row, column = divmod(place, across)
        left, bottom = column * (side + gap), height - (row + 1) * (side + head)
        axes = frame.inset_axes((left / width, bottom / height, side / width, side / height))
        axes.imshow(response, cmap="RdBu_r", aspect="auto", interpolation="nearest")
        axes.set_title(name, fontsize=9, fontweight="normal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    note = f"right: {column_name.replace('_', ' ')}   down: {row_name.replace('_', ' ')}"
    frame.text(0.0, -0.04, note, transform=frame.transAxes, fontsize=9, color=FAINT, va="top")
    fit_canvas(figure, frame, width, height)
    return figure


@styled
def score_strips(
    scores: Mapping[str, Mapping[str, Sequence[float]]], ceiling: Mapping[str, float], floor: Mapping[str, float]
) -> Figure:
    """Draws each model's score as a dot and the median of each setting as a bar, over the range from floor to ceiling.

    Args:
      scores: For each score name and setting name, the values of the seeds.
      ceiling: For each score name, the value of a code with one latent per factor.
      floor: For each score name, the value of noise.

    Raises:
      ValueError: If there are no scores, or more settings than colors.
    """
    settings = list(dict.fromkeys(name for by_setting in scores.values() for name in by_setting))
    if not scores or not 1 <= len(settings) <= len(COLORS):
        raise ValueError(f"scores must hold 1 to {len(COLORS)} settings, got {len(settings)}")
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    rows, step = len(scores), 0.8 / len(settings)
    for row, (name, by_setting) in enumerate(scores.items()):
        if name in floor and name in ceiling:
            axes.plot([floor[name], ceiling[name]], [row, row], color="#dddddd", linewidth=18, solid_capstyle="butt")
        for place, setting in enumerate(settings):
            values, y = by_setting.get(setting, ()), row + (place - (len(settings) - 1) / 2) * step
            label = setting if row == 0 else None
            color = COLORS[place]
            axes.plot(values, [y] * len(values), linestyle="none", marker="o", markersize=5, color=color, label=label)
            if len(values) > 1:
                axes.plot([np.median(values)] * 2, [y - step / 3, y + step / 3], color=color, linewidth=2)
    axes.set_yticks(range(rows), list(scores))
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("score; gray: from noise to one latent per factor")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2)
    fit_canvas(figure, axes, 6.0, max(0.5, 0.16 * len(settings) + 0.16) * rows)
    return figure


@styled
def scores_by_step(panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]) -> Figure:
    """Draws scores against training steps, a panel per score: medians over seeds as lines, ranges as vertical bars.

    Args:
      panels: For each score name, setting name and number of steps, the values of the seeds.

    Raises:
      ValueError: If there are no scores, no settings, or more settings than colors.
    """
    settings = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    if not 1 <= len(settings) <= len(COLORS):
        raise ValueError(f"panels must hold 1 to {len(COLORS)} settings, got {len(settings)}")
    side, gap, height = 3.4, 0.7, 2.8
    width = len(panels) * (side + gap) - gap
    figure = Figure(dpi=DPI)
    frame = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    frame.set_axis_off()
    drawn: dict[str, Line2D] = {}
    for place, (name, curves) in enumerate(panels.items()):
        axes = frame.inset_axes((place * (side + gap) / width, 0.0, side / width, 1.0))
        every_step = [step for by_step in curves.values() for step in by_step]
        shift = 0.015 * (max(every_step) - min(every_step))  # settings side by side, so that no bar hides another
        for setting, by_step in curves.items():
            color, steps = COLORS[settings.index(setting)], sorted(by_step)
            low, middle, high = ([float(f(by_step[step])) for step in steps] for f in (np.min, np.median, np.max))
            x = np.add(steps, shift * (settings.index(setting) - (len(settings) - 1) / 2))
            axes.vlines(x, low, high, color=color, alpha=0.5, linewidth=1.5)
            (drawn[setting],) = axes.plot(x, middle, color=color, marker="o", markersize=4, linewidth=1.5)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y")
        axes.set_xlabel("training steps")
        axes.set_title(name)
    frame.legend(list(drawn.values()), list(drawn), loc="lower left", bbox_to_anchor=(0.0, 1.12), ncols=3)
    fit_canvas(figure, frame, width, height)
    return figure
