"""Usage of the codes of a quantized model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vae_jax.visualization._style import DPI, FAINT, TRAIN, fit_canvas, styled

WIDTH = 7.0  # inches of the axes
MOST_CODEBOOKS = 8  # lines that can be distinguished


@styled
def code_usage_curves(counts: Sequence[Sequence[int]]) -> Figure:
    """Draws the share of each code, the most used first, one line per codebook; the dashed line is uniform use.

    Args:
      counts: For each codebook, the number of occurrences of each code.

    Raises:
      ValueError: If there is no codebook, or a codebook has no counts above 0 or negative ones.
    """
    books = [np.asarray(book, np.float64) for book in counts]
    if not books or any(book.ndim != 1 or not book.sum() > 0 or (book < 0).any() for book in books):
        raise ValueError("counts must hold one or more lists of counts, none negative and not all 0")
    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    for index, book in enumerate(books[:MOST_CODEBOOKS]):
        shares = np.sort(book)[::-1] / book.sum()
        label = f"codebook {index + 1}" if len(books) > 1 else None
        alpha = 1.0 if index == 0 else 0.75 / (1.0 + 0.3 * index)
        axes.plot(np.arange(1, len(shares) + 1), shares, color=TRAIN, alpha=alpha, drawstyle="steps-mid", label=label)
    largest = max(len(book) for book in books)
    axes.axhline(1.0 / largest, color=FAINT, linestyle="--", linewidth=0.9)
    axes.annotate(
        "uniform use", (largest, 1.0 / largest), xytext=(0, 3), textcoords="offset points", ha="right", color=FAINT
    )
    axes.set_xlim(0.5, largest + 0.5)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("codes, the most used first")
    axes.set_ylabel("share of all codes")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="y")
    if len(books) > 1:
        axes.legend()
    unused = sum(int((book == 0).sum()) for book in books)
    note = f"{unused:,} of {sum(len(book) for book in books):,} codes never used" if unused else "every code is used"
    axes.set_title(note, loc="right", fontsize=9, fontweight="normal", color=FAINT)
    fit_canvas(figure, axes, WIDTH, 2.6)
    return figure
