"""Tiled images in one figure, drawn at a whole number of screen pixels per image pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vae_jax.visualization._style import DPI, FAINT, fit_canvas

FULL_WIDTH = 7.0  # target width of a full row of tiles, in inches
LARGEST_TILE = 1.2  # largest width of a tile, in inches
TALLEST_TILE = 3.0  # largest height of a tile, in widths of a full tile: taller images are drawn narrower
CHARACTER = 0.64 / 72  # width of a digit of DejaVu Sans, in inches per point of font size


class Mosaic(NamedTuple):
    """A figure of tiles; centers are in the coordinates of `axes` (source pixels, origin at the upper left)."""

    figure: Figure
    axes: Axes
    row_centers: NDArray[np.float64]
    column_centers: NDArray[np.float64]
    width: float  # inches of all tiles together
    height: float


def as_rgb(name: str, images: ArrayLike, leading: str) -> NDArray[np.float32]:
    """Converts images to float32 RGB in [0, 1], `[..., H, W, 3]`.

    Floats are clipped, because the mean of a Gaussian decoder may leave [0, 1]; uint8 is divided by 255.

    Args:
      name: Name of the argument, for error messages.
      images: `[<leading>, H, W, C]`, C in {1, 3}.
      leading: Names of the leading axes, such as "N" or "P, S".

    Raises:
      ValueError: If the rank is wrong, an axis is empty, C is not 1 or 3, or values are not finite or have a mean
        above 2.
    """
    array = np.asarray(images)
    wanted = f"[{leading}, H, W, C] with C in {{1, 3}}"
    if array.ndim != len(leading.split(",")) + 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"{name} must have shape {wanted} and no empty axis, got shape {array.shape}")
    scaled = array.astype(np.float32) / 255 if array.dtype == np.uint8 else array.astype(np.float32)
    if not np.isfinite(scaled).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(scaled))} values that are not")
    if scaled.mean() > 2:  # brighter than twice white on average: floats in 0..255
        raise ValueError(f"{name} must be floats in [0, 1] or uint8, got {array.dtype} with mean {scaled.mean():.4g}")
    return np.broadcast_to(np.clip(scaled, 0, 1), (*array.shape[:-1], 3))


def starts(size: int, gaps: Sequence[int]) -> NDArray[np.int64]:
    """Start positions of `len(gaps) + 1` tiles of `size` pixels, with `gaps` pixels between them."""
    return np.concatenate([[0], np.cumsum(size + np.asarray(gaps, np.int64))]).astype(np.int64)


def thin_gap(tiles: NDArray[np.float32]) -> int:
    """Default gap between tiles `[..., H, W, 3]` in source pixels, in proportion to the width of a tile."""
    return max(1, round(int(tiles.shape[-2]) / 14))


def draw_mosaic(tiles: NDArray[np.float32], row_gaps: Sequence[int], column_gaps: Sequence[int]) -> Mosaic:
    """Draws tiles `[R, C, H, W, 3]`; `row_gaps` `[R - 1]` and `column_gaps` `[C - 1]` in source pixels."""
    rows, columns, height, width, _ = tiles.shape
    tops, lefts = starts(height, row_gaps), starts(width, column_gaps)
    canvas = np.ones((tops[-1] + height, lefts[-1] + width, 3), np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = tops[row], lefts[column]
            canvas[top : top + height, left : left + width] = tiles[row, column]

    # Whole pixels per source pixel: with nearest interpolation any other scale draws some pixels wider than others.
    target = min(LARGEST_TILE, FULL_WIDTH / columns) * DPI
    target *= min(1.0, TALLEST_TILE * width / height)
    scale = float(round(target / width)) or target / width
    total_width, total_height = canvas.shape[1] * scale / DPI, canvas.shape[0] * scale / DPI

    figure = Figure(dpi=DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(
        canvas,
        interpolation="nearest" if scale >= 1 else "hanning",  # shrinking by nearest drops pixels
        extent=(0, canvas.shape[1], canvas.shape[0], 0),
        aspect="auto",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    fit_canvas(figure, axes, total_width, total_height)
    return Mosaic(figure, axes, tops + height / 2, lefts + width / 2, total_width, total_height)


def label_rows(mosaic: Mosaic, labels: Sequence[str]) -> None:
    """Writes a label left of each row."""
    mosaic.axes.set_yticks(mosaic.row_centers, labels)


def label_columns(mosaic: Mosaic, labels: Sequence[str], caption: str = "") -> None:
    """Writes a label above each column, or, if labels would overlap, above every n-th, including the middle one."""
    pitch = mosaic.width / len(labels)
    step = math.ceil((max(map(len, labels)) + 1) * 9 * CHARACTER / pitch)
    middle = len(labels) // 2
    shown = [index for index in range(len(labels)) if (index - middle) % step == 0]
    mosaic.axes.xaxis.set_ticks_position("top")
    mosaic.axes.xaxis.set_label_position("top")
    mosaic.axes.set_xticks(mosaic.column_centers[shown], [labels[index] for index in shown])
    mosaic.axes.tick_params(length=0)
    mosaic.axes.set_xlabel(caption, fontsize=9, color=FAINT, labelpad=4)


def finish(mosaic: Mosaic) -> Figure:
    """Returns the figure with a canvas that has room for the labels."""
    fit_canvas(mosaic.figure, mosaic.axes, mosaic.width, mosaic.height)
    return mosaic.figure
