"""Several figures in a row, as one figure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vae_jax.visualization._style import DPI, styled

GAP, TITLE = 40, 56  # pixels between the pictures, and above them


@styled
def side_by_side(figures: Mapping[str, Figure]) -> Figure:
    """Draws figures in a row, each under its title, such as the same figure of two models.

    Each figure is rendered at its own size, pixel for pixel; the upper edges are aligned.

    Args:
      figures: Figures by title, from left to right.

    Raises:
      ValueError: If there are no figures.
    """
    if not figures:
        raise ValueError("figures must hold one or more figures, got none")
    pictures = [_picture(figure) for figure in figures.values()]
    height = TITLE + max(len(picture) for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    row = Figure(dpi=DPI, figsize=(width / DPI, height / DPI))
    left = 0
    for title, picture in zip(figures, pictures, strict=True):
        high, wide = picture.shape[:2]
        axes = row.add_axes((left / width, (height - TITLE - high) / height, wide / width, high / height))
        axes.imshow(picture, aspect="auto")
        axes.set_axis_off()
        axes.set_title(title, y=1.0, pad=6)
        left += wide + GAP
    return row


def _picture(figure: Figure) -> NDArray[np.uint8]:
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
