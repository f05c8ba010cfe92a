"""Style of all figures, and a canvas that fits the drawing and its text."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Two picture pixels per CSS pixel (96 per inch), so that a report shows every picture at an integer scale.
DPI = 192
PADDING = 0.12  # inches of white around everything drawn
INK = "#262626"
FAINT = "#5f5f5f"  # contrast 6.4 : 1 on white, for notes

# Blue and vermilion of Okabe & Ito 2008 ("Color Universal Design"): distinguishable with any color vision.
TRAIN = "#0072B2"
VALIDATION = "#D55E00"

# Used as `@styled` on every function that draws: the caller's settings (a dark theme, LaTeX text) have no effect and
# are restored on return. DejaVu Sans is the font that matplotlib ships.
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.usetex": False,
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.edgecolor": "white",
    "savefig.transparent": False,
    "axes.facecolor": "white",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.fontsize": 9,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "lines.solid_capstyle": "round",
    "image.interpolation": "nearest",
    "image.origin": "upper",
    "path.simplify": True,
}
styled = matplotlib.rc_context(STYLE)


def signed(value: float, digits: int = 2) -> str:
    """Formats a number with at most `digits` decimals, no trailing zeros, and a minus sign (not a hyphen)."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "0") else text.replace("-", "\N{MINUS SIGN}")


def fixed(value: float) -> str:
    """Formats a number with two decimals, so that columns of numbers are aligned, and without a negative zero."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")


def fit_canvas(figure: Figure, axes: Axes, width: float, height: float) -> None:
    """Sets `axes` to exactly `width` x `height` inches, and the canvas to a size that holds all its text.

    Labels of any length fit without shrinking the axes, so that the scale of tiles stays a whole number of pixels.
    """
    figure.set_size_inches(width, height)
    axes.set_position((0.0, 0.0, 1.0, 1.0))
    box = figure.get_tightbbox()  # inches, from the lower left corner of the axes
    # Whole pixels, so that the axes start on a pixel boundary.
    left, bottom = (math.ceil((PADDING - edge) * DPI) / DPI for edge in (box.x0, box.y0))
    total_width = math.ceil((left + box.x1 + PADDING) * DPI) / DPI
    total_height = math.ceil((bottom + box.y1 + PADDING) * DPI) / DPI
    figure.set_size_inches(total_width, total_height)
    axes.set_position((left / total_width, bottom / total_height, width / total_width, height / total_height))
