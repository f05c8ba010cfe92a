"""Distributions of the columns of a table in data and model, and numbers of each column, as small multiples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from vae_jax.visualization._style import DPI, FAINT, INK, TRAIN, VALIDATION, styled

DATA, MODEL = "#b3c7d6", VALIDATION
MOST_PANELS = 30
_MOST_BARS = 6  # levels of a panel, of which the last stands for all others
_BINS = 24
_MOST_CHARACTERS, _MOST_OF_A_LEVEL = 24, 11


class ColumnSamples(NamedTuple):
    """Cells of a column in the data and in draws from a model, without missing ones."""

    name: str
    data: NDArray  # [N] numbers, or places among the levels
    model: NDArray  # [M]
    levels: Sequence[str] | None = None  # names of the levels; None: numbers
    above_zero: bool = False  # whether the numbers are above 0, so that they may have a logarithmic axis
    in_order: bool = False  # whether the levels are drawn in their own order


@styled
def column_distributions(columns: Sequence[ColumnSamples]) -> Figure:
    """Draws a panel for each column: the data as filled bars, the model as a line.

    Numbers have a histogram whose outermost bins hold all values beyond; levels have a bar each, in their order or the
    most frequent in the data first, and one for all others if there are more than six.

    Args:
      columns: At most 30 columns.

    Raises:
      ValueError: If there is no column, or more than 30.
    """
    if not 1 <= len(columns) <= MOST_PANELS:
        raise ValueError(f"columns must be 1 to {MOST_PANELS} columns, got {len(columns)}")
    across = min(4 if len(columns) > 3 else 3, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(max(2.15 * across, 3.6), 1.45 * down + 0.35), dpi=DPI, layout="constrained")
    for place, column in enumerate(columns):
        axes = figure.add_subplot(down, across, place + 1)
        axes.set_title(_cut(column.name, _MOST_CHARACTERS), fontsize=9, pad=3, parse_math=False)
        _draw_numbers(axes, column) if column.levels is None else _draw_levels(axes, column, column.levels)
    handles = [Patch(color=DATA, label="data"), Line2D([], [], color=MODEL, linewidth=1.6, label="model")]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False)
    return figure


def _draw_numbers(axes: Axes, column: ColumnSamples) -> None:
    data, model = np.asarray(column.data, np.float64), np.asarray(column.model, np.float64)
    edges, logarithmic = _edges(data, model, column.above_zero)
    shares = [np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0] / max(len(x), 1) for x in (data, model)]
    axes.stairs(shares[0], edges, fill=True, color=DATA)
    axes.stairs(shares[1], edges, color=MODEL, linewidth=1.4)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.08 * max(shares[0].max(), shares[1].max()))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=4))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    if not logarithmic and max(abs(edges[0]), abs(edges[-1])) >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=8, length=2, pad=2)


def _edges(data: NDArray, model: NDArray, above_zero: bool) -> tuple[NDArray, bool]:
    """Edges of the bins, and whether they are logarithmic."""
    some = data if len(data) else model
    low, high = np.quantile(some, [0.002, 0.998])
    if len(model):
        low, high = min(low, np.quantile(model, 0.02)), max(high, np.quantile(model, 0.98))
    if np.all(some == np.rint(some)) and high - low <= 1.5 * _BINS:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5, False
    if high <= low:
        low, high = low - 0.5, high + 0.5
    if above_zero and low > 0 and high / low > 50:
        return np.geomspace(low, high, _BINS + 1), True
    return np.linspace(low, high, _BINS + 1), False


def _draw_levels(axes: Axes, column: ColumnSamples, levels: Sequence[str]) -> None:
    shares = [
        np.bincount(np.asarray(x, np.int64), minlength=len(levels)) / max(len(x), 1)
        for x in (column.data, column.model)
    ]
    order = np.arange(len(levels)) if column.in_order else np.argsort(-shares[0], kind="stable")
    names = [_cut(levels[i], _MOST_OF_A_LEVEL) for i in order]
    sorted_shares = [share[order] for share in shares]
    if len(levels) > _MOST_BARS:
        kept = _MOST_BARS - 1
        names = [*names[:kept], f"{len(levels) - kept} others"]
        sorted_shares = [np.append(share[:kept], share[kept:].sum()) for share in sorted_shares]
    places = np.arange(len(names))
    axes.barh(places, sorted_shares[0], height=0.8, color=DATA)
    # A line at the model's share of each level, as high as the bar.
    axes.vlines(sorted_shares[1], places - 0.4, places + 0.4, color=MODEL, linewidth=2.0)
    axes.set_yticks(places, names, parse_math=False)
    axes.set_ylim(max(len(names), 3) - 0.5, -0.6)
    axes.set_xlim(0, 1.06 * max(sorted_shares[0].max(), sorted_shares[1].max()))
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    axes.tick_params(labelsize=8, length=2, pad=2)
    axes.tick_params(axis="y", length=0)


@styled
def association_matrices(names: Sequence[str], data: ArrayLike, model: ArrayLike) -> Figure:
    """Draws two matrices of associations of the same columns side by side, from -1 (blue) to 1 (red).

    Args:
      names: Names of the n columns.
      data: `[n, n]`; NaN cells are gray.
      model: `[n, n]`.

    Raises:
      ValueError: If the shapes do not fit.
    """
    matrices = [np.asarray(data, np.float64), np.asarray(model, np.float64)]
    count = len(names)
    if not count or any(matrix.shape != (count, count) for matrix in matrices):
        raise ValueError(f"data and model must be [n, n] for the {count} names, got {[m.shape for m in matrices]}")
    side = float(np.clip(0.24 * count, 2.2, 3.7))
    figure = Figure(figsize=(2 * side + 2.0, side + 1.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    size = float(np.clip(150 / count, 4.5, 9))
    shown = [_cut(name, 18) for name in names]
    for axes, matrix, title in zip(panels, matrices, ("data", "model"), strict=True):
        axes.set_facecolor("#d9d9d9")
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, aspect="equal")
        axes.set_title(title)
        axes.set_xticks(range(count), shown, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(count), shown, fontsize=size, parse_math=False)
        axes.tick_params(length=0, pad=3)
        for spine in axes.spines.values():
            spine.set_visible(False)
    bar = figure.colorbar(image, ax=panels, shrink=0.7, aspect=18, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    return figure


@styled
def column_bars(names: Sequence[str], numbers: Mapping[str, ArrayLike]) -> Figure:
    """Draws a panel of horizontal bars for each number of the columns, in the order of the columns.

    Args:
      names: Names of the n columns.
      numbers: For the title of each panel, the number of each column, `[n]`; NaN has no bar.

    Raises:
      ValueError: If there are no numbers, or not one for each column.
    """
    values = {title: np.asarray(each, np.float64) for title, each in numbers.items()}
    if not names or not values or any(each.shape != (len(names),) for each in values.values()):
        raise ValueError(f"numbers must hold one number for each of the {len(names)} columns")
    figure = Figure(figsize=(8.0, 0.21 * len(names) + 0.9), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    places = np.arange(len(names))
    for axes, (title, each) in zip(panels, values.items(), strict=True):
        axes.barh(places, each, height=0.7, color=TRAIN)
        axes.set_title(title, fontsize=10)
        axes.set_yticks(places, [_cut(name, 28) for name in names], fontsize=8, color=INK, parse_math=False)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if not np.any(each):  # for no missing cell at all, an axis from -0.05 to 0.05 would mislead
            axes.set_xlim(0, 1)
    return figure


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
