"""`vae-jax report`: the figures and the report of a finished run, drawn again."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable

from vae_jax.atomic import check_writable
from vae_jax.cli.options import Report
from vae_jax.runs.factors.evaluate import factor_figures
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.loading import checked_summary, open_run
from vae_jax.runs.recipe import PreparedRun
from vae_jax.runs.reporting.report import save_figures, write_pages
from vae_jax.runs.tables.figures import check_column
from vae_jax.runs.tables.kind import TABLES
from vae_jax.text import printable


def prepare_report(options: Report) -> Callable[[], None]:
    folder = RunFolder(options.run, "RUN")
    checked_summary(folder)
    check_writable(folder.path, "RUN")
    folder.lock()  # before anything is read that is written back
    try:
        summary = checked_summary(folder)
        prepared, trained = open_run(options.run, options.data_dir)
        options_of_figures = _options_of_figures(options, prepared)
    except BaseException:
        folder.unlock()
        raise

    def work() -> None:
        try:
            outcome = prepared.recipe.kind.redraw(prepared, trained, summary, **options_of_figures)
            more = save_figures(folder, factor_figures(prepared, trained, options.data_dir))
            write_pages(prepared, outcome._replace(figures=[*outcome.figures, *more]))
        finally:
            folder.unlock()
        print(f"report: {printable(folder.report)}")
        if options.open:
            webbrowser.open(folder.report.resolve().as_uri())

    return work


def _options_of_figures(options: Report, prepared: PreparedRun) -> dict[str, str]:
    if options.color_by is None:
        return {}
    if prepared.recipe.kind is not TABLES:
        raise ValueError(f"--color-by {options.color_by} is for tables, and RUN {options.run} has images: leave it out")
    check_column(prepared.problem.encoding, options.color_by)
    return {"color_by": options.color_by}
