"""Which codes a quantized model uses, and how evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vae_jax.visualization._style import DPI, FAINT, TRAIN, fit_canvas, styled

WIDTH, MOST_CODEBOOKS = 7.0, 8  # inches of the drawing itself; lines that can still be told apart


@styled
def code_usage_curves(counts: Sequence[Sequence[int]]) -> Figure:
    """The share of each code of a codebook, the most used first, one line a codebook; even use is the dashed line.

    Args:
      counts: of each codebook, how often each of its codes occurs.

    Raises:
      ValueError: no codebook, or one with no counts or negative ones.
    """
    books = [np.asarray(each, np.float64) for each in counts]
    if not books or any(book.ndim != 1 or not book.sum() > 0 or (book < 0).any() for book in books):
        raise ValueError("counts must be one or more lists of counts of at least 0, each with some above it")
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
        "even use", (largest, 1.0 / largest), xytext=(0, 3), textcoords="offset points", ha="right", color=FAINT
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
