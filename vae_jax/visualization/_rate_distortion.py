"""Rate-distortion plane of a family of trained models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from vae_jax.visualization._style import DPI, FAINT, TRAIN, VALIDATION, fit_canvas, signed, styled

WIDTH, HEIGHT = 6.4, 4.6  # inches of the frame
ISO = "#d5d5d5"
# Possible positions of a point's name: offset in points, and alignment of the text.
_SIDES = (
    ((5, 4), "left", "bottom"),
    ((-5, -4), "right", "top"),
    ((5, -4), "left", "top"),
    ((-5, 4), "right", "bottom"),
)


@styled
def rate_distortion(betas: Sequence[float], rates: ArrayLike, distortions: ArrayLike) -> Figure:
    """Draws a point for each beta, joined in the order of beta, over lines of equal ELBO; a ring marks the best ELBO.

    D + R, the negative ELBO, is constant on each light line; nearer to the lower left is better. A model trained with
    beta minimizes D + beta R, so that beta = -dD/dR on the optimal curve, which is convex and touches one of these
    lines at beta = 1.

    Args:
      betas: `[B]`, above 0, in any order.
      rates: `[B]` KL divergences, nats per image.
      distortions: `[B]` negative log-likelihoods, nats per image.

    Raises:
      ValueError: If there are no betas, shapes differ, or a value is not finite.

    Source: Alemi et al. 2018 (arXiv:1711.00464), figures 1 and 2.
    """
    values = [np.asarray(v, np.float64) for v in (betas, rates, distortions)]
    if any(v.shape != values[0].shape or v.ndim != 1 or not v.size or not np.isfinite(v).all() for v in values):
        shapes = ", ".join(str(v.shape) for v in values)
        raise ValueError(f"betas, rates and distortions must be finite and of one shape [B], B >= 1, got {shapes}")
    order = np.argsort(values[0], kind="stable")
    beta, rate, distortion = (v[order] for v in values)
    best = int(np.argmin(rate + distortion))

    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    low, high = _limits(rate, 0.0), _limits(distortion, 0.06)
    axes.set_xlim(min(low[0], -0.02 * low[1]), low[1])
    axes.set_ylim(*high)
    fit_canvas(figure, axes, WIDTH, HEIGHT)
    _iso_lines(axes, float(rate[best] + distortion[best]))
    axes.plot(rate, distortion, color=TRAIN, linewidth=1.8, marker="o", markersize=5, zorder=3)
    axes.plot(
        [rate[best]],
        [distortion[best]],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=VALIDATION,
        markeredgewidth=1.8,
        label=f"lowest D + R: {rate[best] + distortion[best]:.1f} at beta = {beta[best]:g}",
        zorder=4,
    )
    _name_points(axes, beta, np.column_stack([rate, distortion]))
    axes.set_xlabel("rate R: KL divergence to the prior, nats per image")
    axes.set_ylabel("distortion D: \N{MINUS SIGN}log p(x | z), nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.legend(loc="upper right")
    fit_canvas(figure, axes, WIDTH, HEIGHT)
    return figure


def _limits(values: NDArray[np.float64], margin: float) -> tuple[float, float]:
    span = float(np.ptp(values)) or max(abs(float(values[0])), 1.0)
    return float(values.min()) - margin * span, float(values.max()) + 0.08 * span


def _iso_lines(axes: Axes, best: float) -> None:
    """Draws lines D + R = c at round numbers c, labeled at the right edge, and a dashed line at the best value."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    levels = np.asarray(MaxNLocator(9, steps=[1, 2, 2.5, 5, 10]).tick_values(left + bottom, right + top))
    named = False
    for level in levels[(levels > left + bottom) & (levels < right + top)]:
        axes.plot([left, right], [level - left, level - right], color=ISO, linewidth=0.9, zorder=1)
        if bottom <= level - right <= top:
            name = signed(level) if named else f"D + R = {signed(level)}"
            axes.annotate(
                name, (right, level - right), (4, 0), textcoords="offset points", va="center", fontsize=9, color=FAINT
            )
            named = True
    axes.plot([left, right], [best - left, best - right], color=VALIDATION, linewidth=0.9, linestyle="--", zorder=2)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _name_points(axes: Axes, betas: NDArray[np.float64], points: NDArray[np.float64]) -> None:
    """Writes each beta beside its point, if possible above and to the right: the outer side of a convex curve.

    A name without a free place (its point lies on another) is left out.
    """
    taken: list[Bbox] = []
    for index in [len(betas) - 1, *range(len(betas) - 1)]:  # the longest first
        beta, point = betas[index], points[index]
        for (dx, dy), horizontal, vertical in _SIDES:
            text = axes.annotate(
                f"beta = {beta:g}" if index == len(betas) - 1 else f"{beta:g}",
                point,
                (dx, dy),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=9,
                fontweight="bold",
                color=TRAIN,
                zorder=5,
            )
            box = text.get_window_extent()
            if box.x0 > axes.bbox.x0 and not any(box.overlaps(other) for other in taken):
                text.set_path_effects([withStroke(linewidth=3, foreground="white")])
                taken.append(box)
                break
            text.remove()
