"""Scores of a finished run against the known factors of its data, for the runs of any recipe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data import FactorData, load_factor_data
from vae_jax.data._factor_sets import NAMES
from vae_jax.distributions import mean_of
from vae_jax.runs.factors.figures import figure_sizes, table_figures
from vae_jax.runs.factors.outcome import reference_dci_points, references_for
from vae_jax.runs.factors.scoring import Scorer, score_table, table_with_progress
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.evaluation import finish_evaluation
from vae_jax.runs.images.kind import measure
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.loading import checked_summary, open_run, recipe_of
from vae_jax.runs.machine import device_name
from vae_jax.runs.options import Evaluate
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import PreparedRun, TrainedModel
from vae_jax.runs.reporting.metrics import metric_of
from vae_jax.runs.reporting.report import write_outcome
from vae_jax.runs.reporting.summaries import add_to_summary, summary_of_model
from vae_jax.runs.settings import Scoring
from vae_jax.visualization._model_figures import Captioned


def prepare_scoring(options: Evaluate) -> Callable[[], dict[str, Any]]:
    """Opens a run with its models and data, and checks all that can be checked; nothing is written.

    Returns:
      A function that scores the run, writes the results, and returns the summary.

    Raises:
      ValueError: if an option is out of range, RUN is not the folder of a finished run, or its data has no known
        factors.
    """
    check_numbers(options)
    folder = RunFolder(options.run, "RUN")
    recipe = recipe_of(folder)
    rescore = recipe.kind.rescore
    if rescore is not None and options.seed is not None:
        raise ValueError(f"--seed {options.seed}: all models of a run with a grid of weights are scored; leave it out")
    name = folder.config().get("data")
    if name not in NAMES:
        raise ValueError(
            f"RUN {folder.path}: the scores of disentanglement need data with known factors ({', '.join(NAMES)}), but "
            f"the run was trained on {name}; leave out --metrics to measure active units, the KL of each dimension, "
            "the total correlation and the likelihood"
        )
    folder.check_no_export()
    summary = checked_summary(folder)  # adding scores to a run without a summary would mark it as finished
    prepared, trained = open_run(options.run, options.data_dir, options.seed)
    if rescore is not None:
        _check_points(options, prepared.settings.latent_dim)
        return lambda: write_outcome(prepared, rescore(prepared, options, summary))
    code = jax.eval_shape(lambda x: mean_of(trained.model.encode(trained.params, x)), prepared.problem.test[0])
    if not isinstance(code, jax.ShapeDtypeStruct) or len(code.shape) != 1:
        raise ValueError(
            f"RUN {options.run}: the scores of disentanglement need a latent code that is one vector, which this "
            "model does not have"
        )
    _check_points(options, code.shape[0])
    data = load_factor_data(str(name), options.data_dir)
    return lambda: _score_one(prepared, trained, data, options)


def _check_points(options: Evaluate, latent_dim: int) -> None:
    if options.points <= latent_dim:
        raise ValueError(f"--points must be above the {latent_dim} dimensions of the code, got {options.points}")


def _score_one(prepared: PreparedRun, trained: TrainedModel, data: FactorData, options: Evaluate) -> dict[str, Any]:
    folder, started, recipe = prepared.folder, time.monotonic(), prepared.recipe
    say(f"{recipe.name} on {prepared.data.name}; {device_name()}; {folder.path}")
    settings = Scoring(points=options.points, dci_points=options.dci_points)
    scorer = _scorer(prepared, trained, data, settings)
    table = table_with_progress(scorer, trained.params)
    scores = score_table(scorer, trained.params, table, recipe.name)
    del scores["active_units"]  # the summary already has the active units of the test images
    references = references_for(settings, data, table.means.shape[1])
    say(f"{'score':<26}{'':>9}{'floor':>9}{'ceiling':>9}")
    for name, value in scores.items():
        metric, ends = metric_of(name), [references[end][name] for end in ("floor", "ceiling")]
        say(f"{metric.heading:<26}" + "".join(f"{metric.text(number):>9}" for number in (value, *ends)))
    scores |= references | {"points": options.points, "dci_points": options.dci_points or options.points}
    scores["reference_dci_points"] = reference_dci_points(settings)
    add_to_summary(folder, trained.member.seed, scores)
    figures = table_figures(table, data, scorer.key)
    return finish_evaluation(prepared, trained, measure(prepared, trained, 0), started, figures)


def _scorer(prepared: PreparedRun, trained: TrainedModel, data: FactorData, settings: Scoring) -> Scorer:
    """Scorer of a model whose images are preprocessed as in its run."""
    prepare, key = prepared.problem.prepare_raw, keys_of(trained.member.seed).further_evaluation
    to_bytes = lambda image: jnp.round(255 * image).astype(jnp.uint8)
    render = lambda table, key, index: prepare(key, to_bytes(data.render(table, key, index)))
    return Scorer(settings, trained.model, dataclasses.replace(data, render=render), key)


def factor_figures(prepared: PreparedRun, trained: TrainedModel, data_dir: str | None) -> Iterator[Captioned]:
    """Figures of the known factors, if `evaluate` has scored this model of a run on images against them; else none."""
    own = summary_of_model(prepared.folder.summary() or {}, trained.member)
    if prepared.recipe.kind.rescore is None and "reference_dci_points" in own:
        data = load_factor_data(prepared.settings.data, data_dir)
        scorer = _scorer(prepared, trained, data, Scoring())
        table = table_with_progress(scorer, trained.params, figure_sizes(scorer.settings, data), name="figures")
        yield from table_figures(table, data, scorer.key)
