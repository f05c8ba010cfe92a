"""Scatter plots of data in latent space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

from vae_jax.visualization._style import DPI, INK, TRAIN, fit_canvas, signed, styled

# Sequence of ten colors that color-blind readers can distinguish: Petroff 2021, "Accessible Color Sequences for Data
# Visualization" (arXiv:2107.02270).
CLASS_COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
SIDE = 5.6  # inches, the longer side of the scatter


def principal_components(points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projects points onto their first two principal components.

    With X the centered points and X = U S V^T, the projection is X V[:, :2] and the explained fraction S^2 / sum(S^2).
    The sign of each direction makes its largest loading positive, so that the picture does not flip between machines.

    Args:
      points: `[N, D]`, N >= 2 and D >= 2.

    Returns:
      The projection `[N, 2]`, and the fraction of the variance `[2]` that each direction explains, 0 if the points do
      not vary.

    Raises:
      ValueError: If the shape is wrong or a value is not finite.
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or min(array.shape) < 2 or not np.isfinite(array).all():
        raise ValueError(f"points must be finite, of shape [N, D] with N, D >= 2, got shape {array.shape}")
    centered = array - array.mean(axis=0)
    _, singular, directions = np.linalg.svd(centered, full_matrices=False)
    directions = directions[:2]
    largest = directions[np.arange(2), np.abs(directions).argmax(axis=1)]
    directions = directions * np.where(largest < 0, -1.0, 1.0)[:, None]
    variance = np.square(singular)
    total = variance.sum()
    explained = variance[:2] / total if total > 0 else np.zeros(2)
    return centered @ directions.T, explained


@styled
def latent_scatter(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    axis_labels: Sequence[str] = ("z1", "z2"),
    marked: ArrayLike | None = None,
    side: float = SIDE,
) -> Figure:
    """Draws the posterior means of a data set in a plane, colored by label.

    Up to ten classes have a color each, and their name at their median; more classes, and labels that are not whole
    numbers, have a color bar. Both axes have the same scale, unless one is more than three times as long as the other.

    Args:
      points: `[N, 2]`.
      labels: `[N]`, classes (integers, booleans or strings) or real numbers, or None.
      axis_labels: Labels of the two axes.
      marked: `[M, 2]`, points that are marked by a ring with their number, counted from 1.
      side: Length of the longer side of the frame, in inches.

    Raises:
      ValueError: If a shape is wrong or a value is not finite.
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"points must be finite, of shape [N, 2] with N >= 1, got shape {array.shape}")
    rings = np.zeros((0, 2)) if marked is None else np.asarray(marked, np.float64)
    if rings.ndim != 2 or rings.shape[1] != 2 or not np.isfinite(rings).all():
        raise ValueError(f"marked must be finite, of shape [M, 2], got shape {rings.shape}")
    if isinstance(axis_labels, str) or len(axis_labels) != 2:
        raise ValueError(f"axis_labels must be two strings, got {axis_labels!r}")
    kinds = None if labels is None else np.asarray(labels)
    if kinds is not None and kinds.shape != (len(array),):
        raise ValueError(f"labels must have shape [N] = ({len(array)},) as in points, got shape {kinds.shape}")
    if kinds is not None and kinds.dtype.kind == "f" and not np.isfinite(kinds).all():
        raise ValueError("labels must be finite numbers or classes, got numbers that are not finite")

    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlabel(axis_labels[0])
    axes.set_ylabel(axis_labels[1])
    axes.axhline(0, color="#d9d9d9", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#d9d9d9", linewidth=0.8, zorder=0)
    width, height = _frame(axes, np.concatenate([array, rings]), side)
    fit_canvas(figure, axes, width, height)

    # Points in a fixed random order, so that the class drawn last does not hide the others.
    order = np.random.default_rng(0).permutation(len(array))
    dots: dict[str, Any] = {"s": float(np.clip(16_000 / len(array), 5, 36)), "alpha": 0.75, "linewidths": 0}
    x, y = array[order].T
    if kinds is None:
        axes.scatter(x, y, color=TRAIN, **dots)
    else:
        classes, codes = np.unique(kinds, return_inverse=True)
        whole = kinds.dtype.kind != "f" or np.array_equal(classes, np.round(classes))
        if whole and len(classes) <= len(CLASS_COLORS):
            axes.scatter(x, y, color=[CLASS_COLORS[code] for code in codes[order]], **dots)
            names = [_name(each) for each in classes]
            medians = np.array([np.median(array[codes == code], axis=0) for code in range(len(classes))])
            _name_classes(axes, names, medians)
        else:
            named = kinds.dtype.kind not in "fiub"
            drawn = axes.scatter(
                x, y, c=(codes if named else kinds)[order], cmap=matplotlib.colormaps["viridis"], **dots
            )
            bar = figure.colorbar(drawn, cax=axes.inset_axes((1.04, 0.0, 0.035, 1.0)))
            bar.outline.set_visible(False)
            if bar.solids is not None:
                bar.solids.set_alpha(1)  # unlike the dots, the color bar is opaque
            if named:
                shown = np.unique(np.linspace(0, len(classes) - 1, min(len(classes), 20)).astype(int))
                bar.set_ticks(list(shown), labels=[_name(classes[index]) for index in shown])
    _number_places(axes, rings)
    fit_canvas(figure, axes, width, height)
    return figure


def _number_places(axes: Axes, places: NDArray[np.float64]) -> None:
    ring = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": INK, "linewidth": 1.0, "alpha": 0.9}
    for number, (x, y) in enumerate(places, start=1):
        axes.text(x, y, str(number), ha="center", va="center", fontsize=8, color=INK, bbox=ring, zorder=4)


def _name(value: Any) -> str:
    return signed(float(value), 0) if isinstance(value, np.number) else str(value)


def _frame(axes: Axes, array: NDArray[np.float64], side: float) -> tuple[float, float]:
    """Sets the limits, and returns the size in inches with equal scales, or with a ratio of sides of at most 3."""
    low, high = array.min(axis=0), array.max(axis=0)
    span = high - low
    span = np.where(span > 0, span, span.max() or 1.0)  # a collapsed direction gets the span of the other
    center, span = (low + high) / 2, 1.08 * span
    axes.set_xlim(center[0] - span[0] / 2, center[0] + span[0] / 2)
    axes.set_ylim(center[1] - span[1] / 2, center[1] + span[1] / 2)
    width, height = side * np.clip(span / span.max(), 1 / 3, 1)
    return float(width), float(height)


def _name_classes(axes: Axes, names: Sequence[str], medians: NDArray[np.float64]) -> None:
    """Writes the name of each class at its median, darker and with a white halo; overlapping names move apart."""
    texts: list[Text] = []
    for index, name in enumerate(names):
        color = tuple(0.5 * channel for channel in to_rgb(CLASS_COLORS[index]))
        text = axes.text(
            medians[index, 0],
            medians[index, 1],
            name,
            ha="center",
            va="center",
            fontsize=12,
            fontweight="bold",
            color=color,
            zorder=3,
            parse_math=False,
        )
        text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
        texts.append(text)

    centers = axes.transData.transform(medians)
    boxes = [text.get_window_extent() for text in texts]
    sizes = np.array([(box.width, box.height) for box in boxes]) + 0.04 * DPI
    for _ in range(200):
        moved = False
        for i in range(len(names)):
            for j in range(i):
                overlap = (sizes[i] + sizes[j]) / 2 - np.abs(centers[i] - centers[j])
                if (overlap > 0).all():
                    axis = int(overlap.argmin())
                    # If both are at the same place, the later class moves up.
                    side = 1.0 if centers[i, axis] >= centers[j, axis] else -1.0
                    centers[i, axis] += side * (overlap[axis] / 2 + 0.5)
                    centers[j, axis] -= side * (overlap[axis] / 2 + 0.5)
                    moved = True
        if not moved:
            break
    for text, place in zip(texts, axes.transData.inverted().transform(centers), strict=True):
        text.set_position(tuple(place))
