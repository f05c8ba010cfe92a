"""`vae-jax report`: the figures and the report of a finished run, drawn again."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable

from vae_jax.atomic import check_writable
from vae_jax.cli.options import Report
from vae_jax.runs.factors.evaluate import factor_figures
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.loading import checked_summary, open_run
from vae_jax.runs.reporting.report import save_figures, write_pages
from vae_jax.text import printable


def prepare_report(options: Report) -> Callable[[], None]:
    folder = RunFolder(options.run, "RUN")
    checked_summary(folder)
    check_writable(folder.path, "RUN")
    folder.lock()  # before anything is read that is written back
    try:
        summary = checked_summary(folder)
        prepared, trained = open_run(options.run, options.data_dir)
    except BaseException:
        folder.unlock()
        raise

    def work() -> None:
        try:
            outcome = prepared.recipe.kind.redraw(prepared, trained, summary)
            more = save_figures(folder, factor_figures(prepared, trained, options.data_dir))
            write_pages(prepared, outcome._replace(figures=[*outcome.figures, *more]))
        finally:
            folder.unlock()
        print(f"report: {printable(folder.report)}")
        if options.open:
            webbrowser.open(folder.report.resolve().as_uri())

    return work
