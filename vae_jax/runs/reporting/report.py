"""Files that a run leaves at its end: figures, summary.json, report.html and MODEL.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vae_jax.atomic import write_atomically
from vae_jax.runs.config import as_command, run_config, title_of
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.recipe import Outcome, PreparedRun
from vae_jax.runs.reporting.formatting import setting
from vae_jax.runs.reporting.model_card import NAME, model_card
from vae_jax.runs.reporting.report_page import ReportFigure, write_report
from vae_jax.visualization import save_figure
from vae_jax.visualization._model_figures import Captioned


def save_figures(folder: RunFolder, figures: Iterable[Captioned]) -> list[ReportFigure]:
    """Saves figures in the run folder, and returns them for the report."""
    saved = []
    for captioned in figures:
        path = folder.figures / f"{captioned.name}.png"
        save_figure(captioned.figure, path)
        saved.append(ReportFigure(captioned.name, captioned.title, captioned.caption, path))
    return saved


def write_outcome(prepared: PreparedRun, outcome: Outcome) -> dict[str, Any]:
    """Writes report, model card and summary of a run, in this order; returns the summary."""
    write_pages(prepared, outcome)
    summary = dict(outcome.summary)
    prepared.folder.write_summary(summary)
    return summary


def write_pages(prepared: PreparedRun, outcome: Outcome) -> None:
    """Replaces report.html and MODEL.md."""
    recipe, folder, summary = prepared.recipe, prepared.folder, outcome.summary
    config, command = run_config(recipe, prepared.settings), as_command(recipe, prepared.settings)
    reported = {name: value for name, value in summary.items() if name not in outcome.left_out}
    write_report(
        folder.report,
        title=outcome.title,
        summary={**reported, **outcome.rows, "command": command},
        config={name: setting(value) for name, value in config.items() if value is not None},
        figures=outcome.figures,
    )
    write_atomically(
        folder.path / NAME,
        model_card(title_of(recipe, prepared.settings), recipe.description, config, summary, command),
    )
