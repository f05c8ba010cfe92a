"""Information in the latent code: the KL divergence of each dimension, and the parts of the average KL divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from vae_jax.visualization._style import DPI, FAINT, INK, TRAIN, VALIDATION, fit_canvas, fixed, signed, styled

WIDTH = 7.0  # inches of the axes
UNUSED = "#b5b5b5"
UNUSED_NATS = 0.01
MOST_NAMED = 24  # bars with the name of the dimension below


@styled
def kl_bars(kl: ArrayLike, threshold: float = UNUSED_NATS, per: str = "image") -> Figure:
    """Draws the KL divergence of each latent dimension as a bar, the largest first; unused dimensions are gray.

    Args:
      kl: `[D]`, nats per image. Dimensions are counted from 1, as in "z1".
      threshold: Dimensions with fewer nats count as unused.
      per: Word for an example.

    Raises:
      ValueError: If the shape is wrong or a value is not finite.
    """
    nats = np.asarray(kl, np.float64)
    if nats.ndim != 1 or not nats.size or not np.isfinite(nats).all():
        raise ValueError(f"kl must be finite, of shape [D] with D >= 1, got shape {nats.shape}")
    order = np.argsort(-nats, kind="stable")
    places = np.arange(len(nats))
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    colors = [UNUSED if nats[index] < threshold else TRAIN for index in order]
    axes.bar(places, nats[order], width=0.8 if len(nats) <= 100 else 1.0, color=colors)
    axes.set_xlim(-0.6, len(nats) - 0.4)
    axes.set_ylim(0, 1.05 * max(nats.max(), 2 * threshold))
    axes.set_ylabel(f"nats per {per}")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)
    if len(nats) <= MOST_NAMED:
        for index, label in zip(order, axes.set_xticks(places, [f"z{i + 1}" for i in order]), strict=True):
            label.label1.set_color(FAINT if nats[index] < threshold else INK)
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(nats)} latent dimensions, sorted", color=FAINT)
    unused = int(np.sum(nats < threshold))
    if unused:
        note = f"{unused} of {len(nats)} under {threshold:g} nats"
        axes.set_title(note, loc="right", fontsize=9, fontweight="normal", color=FAINT)
    fit_canvas(figure, axes, min(WIDTH, max(2.0, 0.35 * len(nats))), 2.4)
    return figure


class Part(NamedTuple):
    """Summand with its name, its value in nats, and its standard error, if known."""

    name: str
    value: float
    standard_error: float | None = None


@styled
def parts_of_a_sum(
    total: Part, parts: Sequence[Part], limits: Sequence[float | None] | None = None, per: str = "image"
) -> Figure:
    """Draws the total as a bar and its parts as bars below, each starting at the end of the previous one.

    Args:
      total: The sum, in nats.
      parts: At least one part, in order.
      limits: Upper limit of each part, or None; written beside the bar, and marked if it is within the frame.
      per: Word for an example.

    Raises:
      ValueError: If there are no parts or a value is not finite.
    """
    values = np.array([total.value, *(part.value for part in parts)], np.float64)
    if not parts or not np.isfinite(values).all():
        given = ", ".join(f"{value:g}" for value in values[1:]) or "no parts"
        raise ValueError(f"total and parts must be finite, with at least one part, got {values[0]:g} and {given}")
    starts = np.concatenate([[0.0, 0.0], np.cumsum(values[1:-1])])
    ends = starts + values
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    rows = np.arange(len(values))
    axes.barh(rows, values, left=starts, height=0.62, color=[UNUSED, *(TRAIN for _ in parts)])
    for row in rows[1:-1]:  # a line from the end of each bar to the start of the next
        axes.plot([ends[row]] * 2, [row + 0.31, row + 0.69], color=FAINT, linewidth=0.8)
    low, high = min(ends.min(), 0.0), max(ends.max(), 1e-6)
    for row, part, limit in zip(rows, (total, *parts), (None, *(limits or [None] * len(parts))), strict=True):
        text = fixed(part.value)
        if part.standard_error is not None:
            text += f" \N{PLUS-MINUS SIGN} {fixed(part.standard_error)}"
        right = max(starts[row], ends[row])
        if limit is not None:
            text += f"   (at most {signed(limit)})"
            if starts[row] + limit <= high:  # a mark outside would compress the bars
                right = max(right, starts[row] + limit)
                axes.plot([starts[row] + limit] * 2, [row - 0.4, row + 0.4], color=VALIDATION, linewidth=1.4)
        axes.text(right + 0.012 * (high - low), float(row), text, va="center", fontsize=9)
    axes.set_yticks(rows, [total.name, *(part.name for part in parts)])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(low, high)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(f"nats per {per}")
    fit_canvas(figure, axes, 0.72 * WIDTH, 0.42 * len(values))
    return figure
