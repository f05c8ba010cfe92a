"""Figures of a model of a table for its report, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vae_jax.data import Encoding
from vae_jax.evaluation import Measures
from vae_jax.evaluation._associations import association_matrix
from vae_jax.runs.keys import keys_of
from vae_jax.runs.recipe import PreparedRun, TrainedModel
from vae_jax.runs.tables.rows import as_numbers, draw_rows
from vae_jax.visualization import kl_bars, latent_scatter, principal_components, training_curves
from vae_jax.visualization._columns import (
    MOST_PANELS,
    ColumnSamples,
    association_matrices,
    column_bars,
    column_distributions,
)
from vae_jax.visualization._model_figures import Captioned, surgery_figures

_MOST_ROWS = 10_000  # of the table, in figures of its columns
_MOST_DRAWN = 5_000  # rows drawn from the model
_MOST_POINTS = 5_000  # codes in the scatter plot
_MOST_OF_MATRIX, _MOST_BARS = 40, 60  # columns


def table_figures(
    prepared: PreparedRun,
    trained: TrainedModel,
    measures: Measures,
    summary: Mapping[str, Any],
    color_by: str | None = None,
) -> Iterator[Captioned]:
    """Yields the figures of a model of a table.

    Args:
      color_by: column that colors the codes; None: the first with categories, or else the first.

    Raises:
      ValueError: color_by is not a modeled column.
    """
    problem, encoding = prepared.problem, prepared.problem.encoding
    color = _coloring(encoding, color_by)
    yield Captioned(
        "training_curves",
        "Training",
        "Metrics per epoch on the training rows, some of whose cells are hidden, and on held-out validation rows, in "
        "nats per row.",
        training_curves(trained.history, "row"),
    )
    shown = _spread(problem.table.num_rows, _MOST_ROWS)
    data = as_numbers(encoding, *encoding.encode(problem.table, shown, unseen_as_missing=True))
    drawn = draw_rows(trained.model, trained.params, keys_of(trained.member.seed).figures, encoding, _MOST_DRAWN)
    everywhere = {group: np.ones_like(values, bool) for group, values in drawn.items()}
    model = as_numbers(encoding, drawn, everywhere)
    yield _distributions(encoding, data, model)
    if len(encoding.columns) > 1:
        yield _associations(encoding, data, model)
    yield _of_columns(prepared, summary)
    if measures.posterior_means is not None and len(measures.posterior_means) > 1:
        yield _codes(prepared, np.asarray(measures.posterior_means), color)
    if measures.kl_per_dimension is not None and np.isfinite(measures.kl_per_dimension).all():
        yield Captioned(
            "kl_per_dimension",
            "KL divergence of each dimension",
            "The KL divergence of posterior and prior in each latent dimension, a mean over the test rows; the sum of "
            "all dimensions is the rate.",
            kl_bars(measures.kl_per_dimension, per="row"),
        )
    yield from surgery_figures(summary, "row")


def check_column(encoding: Encoding, name: str) -> Any:
    """Returns the encoding of a column; raises ValueError if the table has none of this name that the model sees."""
    columns = {column.name: column for column in encoding.columns}
    if name not in columns:
        raise ValueError(f"--color-by must be a column that the model sees ({', '.join(columns)}), got {name}")
    return columns[name]


def _coloring(encoding: Encoding, name: str | None) -> Any:
    if name is not None:
        return check_column(encoding, name)
    rank = {"category": 0, "binary": 1, "ordinal": 2}
    return min(encoding.columns, key=lambda column: rank.get(column.kind, 3))


def _spread(total: int, most: int) -> np.ndarray:
    return np.linspace(0, total - 1, min(total, most)).astype(np.int64)


def _left_out(encoding: Encoding, most: int) -> str:
    more = len(encoding.columns) - most
    return f" The first {most} columns are shown, and {more} more are not." if more > 0 else ""


def _distributions(encoding: Encoding, data: Mapping[str, np.ndarray], model: Mapping[str, np.ndarray]) -> Captioned:
    samples = [
        ColumnSamples(
            column.name,
            data[column.name][np.isfinite(data[column.name])],
            model[column.name][np.isfinite(model[column.name])],
            [str(level) for level in column.levels] or None,
            column.kind == "positive",
            column.kind == "ordinal",
        )
        for column in encoding.columns[:MOST_PANELS]
    ]
    return Captioned(
        "columns",
        "Columns of data and model",
        "The share of the cells at each value: in the table (filled) and in rows drawn from the model (line). The "
        "outermost bins of a histogram hold all values beyond." + _left_out(encoding, MOST_PANELS),
        column_distributions(samples),
    )


def _associations(encoding: Encoding, data: Mapping[str, np.ndarray], model: Mapping[str, np.ndarray]) -> Captioned:
    columns = encoding.columns[:_MOST_OF_MATRIX]
    names, unordered = [column.name for column in columns], [column.kind == "category" for column in columns]
    of_data, of_model = (association_matrix([cells[name] for name in names], unordered) for cells in (data, model))
    apart = np.abs(of_data - of_model)[np.triu_indices(len(names), 1)]
    mean = f" They differ by {np.nanmean(apart):.2f} in the mean." if np.isfinite(apart).any() else ""
    return Captioned(
        "associations",
        "Associations of columns",
        "Rank correlation of two columns with an order (from \N{MINUS SIGN}1 to 1), correlation ratio of a category "
        "with such a column, and Cram\N{LATIN SMALL LETTER E WITH ACUTE}r's V of two categories (from 0 to 1): in the "
        "table, and in rows drawn from the model." + mean + _left_out(encoding, _MOST_OF_MATRIX),
        association_matrices(names, of_data, of_model),
    )


def _of_columns(prepared: PreparedRun, summary: Mapping[str, Any]) -> Captioned:
    encoding, table = prepared.problem.encoding, prepared.problem.table
    names = [column.name for column in encoding.columns[:_MOST_BARS]]
    nats = summary.get("distortion_per_column") or {}
    missing = [100 * table[name].share_missing for name in names]
    values = [np.nan if nats.get(name) is None else nats[name] for name in names]
    rate = summary.get("rate")
    sums = "" if rate is None else f", and with the rate of {rate:.2f} nats to the negative ELBO"
    return Captioned(
        "columns_elbo",
        "ELBO of each column, and missing cells",
        "The part of each column in the distortion, in nats per observed cell of the test rows: numbers in units of "
        "their standard deviation may be below 0, for a density has no upper bound. Weighted by the observed cells "
        f"they sum to the distortion{sums}. Beside it, the share of missing cells in the whole table."
        + _left_out(encoding, _MOST_BARS),
        column_bars(names, {"distortion, nats per cell": values, "missing cells, percent": missing}),
    )


def _codes(prepared: PreparedRun, points: np.ndarray, column: Any) -> Captioned:
    problem, encoding = prepared.problem, prepared.problem.encoding
    cells = as_numbers(encoding, *problem.test_examples)[column.name]
    shown = _spread(len(points), _MOST_POINTS)
    points, cells = points[shown], cells[shown]
    if points.shape[1] > 2:
        plane, explained = principal_components(points)
        names = [
            f"principal component {i + 1} ({100 * share:.0f}% of the variance)" for i, share in enumerate(explained)
        ]
        what = f"The first two principal components of the {points.shape[1]} dimensions of the posterior means"
    else:
        plane = points if points.shape[1] == 2 else np.column_stack([points[:, 0], np.zeros(len(points))])
        names, what = ["z1", "z2"], "The posterior means"
    known = np.isfinite(cells)
    labels: Any = cells
    if column.levels:
        labels = np.array(
            [str(column.levels[int(cell)]) if seen else "" for cell, seen in zip(cells, known, strict=True)]
        )
    without = f"; {np.sum(~known):,} rows in which it is missing are not shown" if not known.all() else ""
    if known.sum() < 2:
        known, labels, without = np.ones(len(points), bool), None, ""
    return Captioned(
        "codes",
        "Codes of the test rows",
        f"{what} of the test rows, colored by the column {column.name}{without}. `vae-jax report RUN --color-by "
        "COLUMN` takes another column.",
        latent_scatter(plane[known], None if labels is None else labels[known], names),
    )
