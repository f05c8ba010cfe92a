"""Training throughput against the batch size and against the number of models trained at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from vae_jax.visualization._style import DPI, FAINT, TRAIN, VALIDATION, styled

WIDTH, HEIGHT = 9.6, 3.8  # inches


@styled
def throughput(
    batch_sizes: Sequence[int],
    examples_per_second: ArrayLike,
    models: Sequence[int],
    together: ArrayLike,
    separate: ArrayLike,
) -> Figure:
    """Draws two panels: one model at several batch sizes, and M models as one program or one after another.

    Args:
      batch_sizes: `[B]`, increasing.
      examples_per_second: `[B]`.
      models: `[M]` numbers of models, increasing.
      together: `[M]` training steps per second, summed over models, as one program.
      separate: `[M]` training steps per second, one model after another.

    Raises:
      ValueError: If shapes differ, or a value is not a finite number above 0.
    """
    by_batch, by_models = (batch_sizes, examples_per_second), (models, together, separate)
    for group in (by_batch, by_models):
        arrays = [np.asarray(values, np.float64) for values in group]
        if any(a.shape != arrays[0].shape or a.ndim != 1 or not a.size or not _positive(a) for a in arrays):
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(
                f"arguments of throughput must be finite numbers above 0 of equal shapes [B] and [M], got {shapes}"
            )
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout=ConstrainedLayoutEngine(wspace=0.08))
    left, right = figure.subplots(1, 2)
    left.plot(*by_batch, color=TRAIN, linewidth=1.8, marker="o", markersize=5)
    _frame(left, batch_sizes, "One model", "batch size", "examples per second")
    right.plot(models, separate, color=FAINT, linewidth=1.4, linestyle="--", marker="s", markersize=4)
    right.plot(models, together, color=VALIDATION, linewidth=1.8, marker="o", markersize=5)
    right.get_lines()[0].set_label("one after another")
    right.get_lines()[1].set_label("as one program")
    _frame(right, models, "Several models", "number of models M", "training steps per second")
    right.legend(loc="lower right")
    return figure


def _positive(values: NDArray[np.float64]) -> bool:
    return bool((np.isfinite(values) & (values > 0)).all())


def _frame(axes: Axes, ticks: Sequence[int], title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # From zero, so that heights are proportional to the numbers.
    axes.set_ylim(0.0, 1.12 * max(np.max(line.get_ydata()) for line in axes.get_lines()))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y")
