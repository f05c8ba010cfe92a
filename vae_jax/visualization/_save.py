"""Figures as PNG files."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from vae_jax.atomic import write_atomically
from vae_jax.visualization._style import DPI, styled


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as PNG with tight margins; equal figures give equal bytes (the file holds no time or version).

    The folder of the path is created if it is missing (copies of a run often omit empty folders), but not its parents.

    Raises:
      ValueError: If the path does not end in ".png".
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    Path(path).parent.mkdir(exist_ok=True)
    write_atomically(Path(path), stream.getvalue())
