"""Training curves of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vae_jax.visualization._style import DPI, FAINT, TRAIN, VALIDATION, signed, styled

COLORS = {"train": TRAIN, "validation": VALIDATION}
MARKED = 40  # with fewer epochs, each is marked with a dot
FOCUSED = 20  # from this number of epochs, the first few may lie above the frame


class Metric(NamedTuple):
    """A metric of the history: its key after "train/" or "validation/", and its title, unit and sign."""

    key: str
    title: str
    unit: str
    sign: int = 1


# The first of these metrics in a history is shown as its objective.
OBJECTIVES = (
    Metric("elbo", "Negative ELBO", "nats per", -1),
    Metric("loss", "Loss", "per"),
    Metric("distortion", "Distortion", "nats per"),
)
PARTS = (Metric("rate", "Rate (KL)", "nats per"), Metric("distortion", "Distortion", "nats per"))


class Curve(NamedTuple):
    split: str
    epochs: NDArray[np.float64]
    values: NDArray[np.float64]


def _curves(history: Sequence[Mapping[str, float]], metric: Metric) -> list[Curve]:
    """Curves of a metric for the splits that have it; epochs without a value are left out."""
    found = []
    for split in COLORS:
        key = f"{split}/{metric.key}"
        rows = [(float(row["epoch"]), metric.sign * float(row[key])) for row in history if row.get(key) is not None]
        if rows:
            epochs, values = np.array(rows).T
            found.append(Curve(split, epochs, values))
    return found


def _draw(axes: Axes, metric: Metric, curves: Sequence[Curve], per: str) -> None:
    for curve in curves:
        axes.plot(
            curve.epochs,
            curve.values,
            color=COLORS[curve.split],
            label=curve.split,
            linewidth=1.8 if curve.split == "validation" else 1.3,
            marker="o" if len(curve.epochs) < MARKED else "",
            markersize=3.5,
        )
    axes.set_ylabel(f"{metric.unit} {per}")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    _focus(axes, curves)


def _focus(axes: Axes, curves: Sequence[Curve]) -> None:
    """Limits the frame to the later values of a long run, and writes the largest value above it."""
    values = np.concatenate([curve.values for curve in curves])
    values = values[np.isfinite(values)]
    if max(len(curve.epochs) for curve in curves) < FOCUSED or not values.size:
        return
    low, high, peak = values.min(), np.quantile(values, 0.95), values.max()
    if peak > high + (high - low):
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
        axes.set_title(
            f"\N{UPWARDS ARROW} {signed(peak, 1)}", loc="right", fontsize=9, fontweight="normal", color=FAINT
        )


def _mark_best(axes: Axes, curves: Sequence[Curve]) -> None:
    """Marks the validation epoch with the smallest value by a ring."""
    for curve in curves:
        if curve.split == "validation" and np.isfinite(curve.values).any():
            best = int(np.nanargmin(np.where(np.isfinite(curve.values), curve.values, np.nan)))
            epoch, value = curve.epochs[best], curve.values[best]
            axes.plot(
                [epoch],
                [value],
                linestyle="none",
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor=VALIDATION,
                markeredgewidth=1.6,
                clip_on=False,
                label=f"best: {value:.2f} at epoch {epoch:g}",
            )


@styled
def training_curves(history: Sequence[Mapping[str, float]], per: str = "image") -> Figure:
    """Draws the negative ELBO of both splits with the best validation epoch, and beside it rate and distortion.

    Missing metrics are not drawn: without an ELBO the first panel shows the loss, without a loss the distortion. Rate
    and distortion are those of the validation split, if there is one. In runs of 20 epochs or more, early values far
    above the others lie outside the frame, and the largest is written above it.

    Args:
      history: One row per epoch (or per logging step): "epoch", and any of "train/elbo", "train/rate",
        "train/distortion", "train/loss", and the same keys under "validation/"; in nats per example. Rows may lack
        keys.
      per: Word for an example.

    Raises:
      ValueError: If the history is empty, a row has no "epoch", or there are none of these metrics.
    """
    if not history:
        raise ValueError("history must have at least one row, got none")
    for index, row in enumerate(history):
        if "epoch" not in row:
            raise ValueError(f'history[{index}] must have the key "epoch", got the keys {", ".join(sorted(row))}')
    objective = next((metric for metric in OBJECTIVES if _curves(history, metric)), None)
    parts = [metric for metric in PARTS if metric != objective and _curves(history, metric)]
    if objective is None and not parts:
        known = ", ".join(sorted({metric.key for metric in (*OBJECTIVES, *PARTS)}))
        raise ValueError(
            f"history must have train/ or validation/ metrics ({known}), got the keys {', '.join(sorted(history[0]))}"
        )

    figure = Figure(figsize=(8.0, 4.0), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.08))
    outer = figure.add_gridspec(
        1, 2 if objective and parts else 1, width_ratios=(5, 3) if objective and parts else None
    )
    epochs = [float(row["epoch"]) for row in history]
    margin = 0.5 if len(set(epochs)) == 1 else 0.02 * (max(epochs) - min(epochs))
    if objective:
        axes = figure.add_subplot(outer[0, 0])
        curves = _curves(history, objective)
        _draw(axes, objective, curves, per)
        _mark_best(axes, curves)
        axes.set_title(objective.title)
        axes.set_xlabel("epoch")
    if parts:
        inner = outer[0, -1].subgridspec(len(parts), 1)
        for row_index, metric in enumerate(parts):
            axes = figure.add_subplot(inner[row_index, 0])
            curve = _curves(history, metric)[-1]  # validation, if there is one
            _draw(axes, metric, [curve], per)
            axes.set_title(metric.title)
            if row_index == len(parts) - 1:
                axes.set_xlabel("epoch")
            else:
                axes.tick_params(labelbottom=False)
    named: dict[str, Artist] = {}
    for axes in figure.axes:
        axes.set_xlim(min(epochs) - margin, max(epochs) + margin)
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            named.setdefault(label, handle)
    # Outside, because the legend is for all panels, and no place inside is free of data in every run.
    figure.legend(list(named.values()), list(named), loc="outside upper left", ncols=3, frameon=False)
    figure.align_ylabels(figure.axes[-len(parts) :])
    # Layout and ticks depend on each other: iterate until they are stable, so that every save gives the same picture.
    for _ in range(3):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
