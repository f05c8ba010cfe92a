"""`vae-jax report`: the figures and the report of a finished run, made anew."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable

from vae_jax.atomic import check_writable
from vae_jax.commands.options import Report
from vae_jax.experiment.disentanglement.evaluate import open_disentangled
from vae_jax.experiment.disentanglement.run import write_summary
from vae_jax.experiment.disentanglement.settings import EXPERIMENT
from vae_jax.experiment.evaluate import open_run
from vae_jax.experiment.loaded import checked_summary
from vae_jax.experiment.progress import say
from vae_jax.experiment.trained import draw_figures, measure, write_trained_report
from vae_jax.runs import RunFolder
from vae_jax.text import printable


def prepare_report(options: Report) -> Callable[[], None]:
    folder = RunFolder(options.run, "RUN")
    write = _of_disentangled(options) if folder.config().get("experiment") == EXPERIMENT else _of_method(options)
    check_writable(folder.path, "RUN")
    folder.lock()

    def work() -> None:
        try:
            write()
        finally:
            folder.unlock()
        print(f"report: {printable(folder.report)}")
        if options.open:
            webbrowser.open(folder.report.resolve().as_uri())

    return work


def _of_method(options: Report) -> Callable[[], object]:
    folder = RunFolder(options.run, "RUN")
    summary = checked_summary(folder, folder.config()["experiment"])
    trained = open_run(options.run, options.data_dir)
    own = next((model for model in summary.get("models", ()) if model["seed"] == trained.settings.seed), summary)

    def write() -> None:
        say("drawing the figures")
        figures = draw_figures(trained, measure(trained, 0), own)
        write_trained_report(trained, summary, figures)

    return write


def _of_disentangled(options: Report) -> Callable[[], object]:
    prepared, summary = open_disentangled(options.run, options.data_dir)
    seconds = {name: summary[name] for name in ("training_seconds", "scoring_seconds")}
    return lambda: write_summary(prepared, summary["models"], seconds)
