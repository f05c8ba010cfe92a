"""A trained model in its run folder: measured, drawn, and written down, at the end of a run or any time after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from vae_jax.data import Images, ImageStream
from vae_jax.evaluation import Measures, bits_per_dimension
from vae_jax.experiment.method import Method
from vae_jax.experiment.model_card import write_model_card
from vae_jax.experiment.problem import Problem
from vae_jax.experiment.settings import Settings, as_command, run_config, settings_of_run
from vae_jax.params import Params
from vae_jax.runs import RunFolder
from vae_jax.training import Row
from vae_jax.visualization import ReportFigure, save_figure, write_report
from vae_jax.visualization._model_figures import Subject, code_figures, model_figures, surgery_figures


class Keys(NamedTuple):
    """Of everything random in a run."""

    training: jax.Array
    fitting: jax.Array
    evaluation: jax.Array
    figures: jax.Array
    further_evaluation: jax.Array  # of what is measured after the run


def keys_of(settings: Settings) -> Keys:
    return Keys(*jax.random.split(jax.random.key(settings.seed), 5))


class Trained(NamedTuple):
    """A model of a run that has finished its training."""

    method: Method
    settings: Settings  # of this model alone, where the run is of several
    folder: RunFolder
    images: Images | ImageStream
    problem: Problem
    model: Any  # a VAE, or a Conditional of labels
    params: Params
    history: Sequence[Row]


def measure(trained: Trained, nll_samples: int) -> Measures:
    """What the method measures on the test images, with bits per dimension where they are defined."""
    problem, evaluation_key = trained.problem, keys_of(trained.settings).evaluation
    measures = trained.method.measure(
        trained.model, trained.params, evaluation_key, problem.test_examples, trained.settings.elbo_samples, nll_samples
    )
    bound = measures.summary["negative_elbo"]
    # Where p(x | z) is of 8-bit pixels: bits of black and white are not compared by it.
    if bound is not None and problem.pixels.levels is not None:
        bits = bits_per_dimension(bound, problem.test[0].size, problem.pixels.levels)
        measures = measures._replace(summary=measures.summary | {"bits_per_dim": bits})
    return measures


def draw_figures(trained: Trained, measures: Measures, summary: Mapping[str, Any]) -> list[ReportFigure]:
    """Saves every figure that the model and the numbers in the summary give, in the order of the report."""
    problem = trained.problem
    subject = Subject(
        trained.model,
        trained.params,
        problem.test,
        problem.test_labels,
        measures.posterior_means,
        measures.kl_per_dimension,
        trained.history,
        problem.num_classes,
    )
    figures = []
    for captioned in (
        *model_figures(subject, keys_of(trained.settings).figures),
        *code_figures(summary),
        *surgery_figures(summary),
    ):
        path = trained.folder.figures / f"{captioned.name}.png"
        save_figure(captioned.figure, path)
        figures.append(ReportFigure(captioned.name, captioned.title, captioned.caption, path))
    return figures


def write_trained_report(trained: Trained, summary: Mapping[str, Any], figures: Sequence[ReportFigure]) -> None:
    """Replaces the run's report, and MODEL.md, by those of this summary and these figures."""
    method, folder = trained.method, trained.folder
    settings = settings_of_run(method.name, method.defaults, folder)  # of the whole run, where it is of several models
    write_report(
        folder.report,
        title=f"{method.title} on {trained.images.name}",
        summary={**summary, "command": as_command(method.name, settings)},
        config=run_config(method.name, settings),
        figures=figures,
    )
    config, command = run_config(method.name, settings), as_command(method.name, settings)
    write_model_card(folder, method.title, method.description, config, summary, command)
