"""Runs on tables: their settings, what they print, measurements and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from vae_jax.data import describe_table
from vae_jax.evaluation import Measures
from vae_jax.evaluation._columns import mean_distortion_terms
from vae_jax.runs import per_seed
from vae_jax.runs.images.vae import describe_kl
from vae_jax.runs.keys import keys_of
from vae_jax.runs.machine import device_name
from vae_jax.runs.recipe import Kind, PreparedRun, TrainedModel
from vae_jax.runs.reporting.report import save_figures
from vae_jax.runs.reporting.report_page import ReportFigure
from vae_jax.runs.settings import Settings
from vae_jax.runs.tables.figures import table_figures
from vae_jax.runs.tables.problem import TableProblem, load, make_problem, resolve, without_data


def _opening(prepared: PreparedRun) -> str:
    settings, problem, table = prepared.settings, prepared.problem, prepared.data
    split = problem.split
    counts = f"{len(split.train):,} training, {len(split.validation):,} validation, {len(split.test):,} test rows"
    models = f"{settings.seeds} models at once, " if settings.seeds > 1 else ""
    about = f"{prepared.recipe.name} on {table.name}: {models}{counts}; {describe_kl(prepared)}{device_name()}"
    lines = [describe_table(dataclasses.replace(table, note="")), table.note, f"{about}; in {prepared.folder.path}"]
    return "\n".join([*lines, *_notes(problem)])


def _notes(problem: TableProblem) -> Iterator[str]:
    if note := problem.unseen_note:
        yield note
    if problem.hide_cells:
        yield (
            f"each training row hides up to {100 * problem.hide_cells:g} % of its cells, so that the model learns to "
            "fill them in (--hide-cells)"
        )


def measure(prepared: PreparedRun, trained: TrainedModel, nll_samples: int) -> Measures:
    """Measures a model on the test rows, with the distortion of each column in nats per observed cell."""
    measures = per_seed.measure(prepared, trained, nll_samples)
    key = jax.random.fold_in(keys_of(trained.member.seed).evaluation, 1)
    problem, samples = prepared.problem, prepared.settings.elbo_samples
    terms = mean_distortion_terms(trained.model, trained.params, key, problem.test_examples, samples)
    by_column = problem.encoding.by_column(jax.tree.map(np.asarray, terms))
    columns = {name: float(value) if np.isfinite(value) else None for name, value in by_column.items()}
    return measures._replace(summary=measures.summary | {"distortion_per_column": columns})


def draw(
    prepared: PreparedRun,
    trained: TrainedModel,
    measures: Measures,
    summary: Mapping[str, Any],
    color_by: str | None = None,
) -> list[ReportFigure]:
    """Saves every figure that can be drawn from the model and its summary, in the order of the report."""
    return save_figures(prepared.folder, table_figures(prepared, trained, measures, summary, color_by))


def _show(settings: Settings, table: Any) -> NoReturn:
    raise ValueError(f"--data {settings.data} is a table, which cannot be shown as images")


TABLES = Kind(
    load=load,
    resolve=resolve,
    problem=make_problem,
    without_data=without_data,
    members=per_seed.members,
    alone=per_seed.alone,
    length=per_seed.length,
    default_name=lambda settings, stamp: f"{Path(settings.data).stem}-{stamp}-seed{settings.seed}",
    opening=_opening,
    finish=per_seed.finish,
    redraw=per_seed.redraw,
    show=_show,
    measure=measure,
    draw=draw,
    changeable=per_seed.changeable,
    example="row",
)
