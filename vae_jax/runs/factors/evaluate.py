"""Scores of a finished run against the known factors of its data, whatever recipe made it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data import FactorData, load_factor_data
from vae_jax.data._factor_sets import NAMES
from vae_jax.distributions import mean_of
from vae_jax.runs.factors.figures import table_figures
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
from vae_jax.runs.reporting.summaries import add_to_summary
from vae_jax.runs.settings import Scoring


def prepare_scoring(options: Evaluate) -> Callable[[], dict[str, Any]]:
    """Opens a run with its models and data, and checks all that can be checked; nothing is written.

    Returns:
      The function that scores, writes, and returns the summary.

    Raises:
      ValueError: if an option is out of range, RUN is not the folder of a finished run, or its data has no factors.
    """
    check_numbers(options)
    folder = RunFolder(options.run, "RUN")
    recipe = recipe_of(folder)
    rescore = recipe.kind.rescore
    if rescore is not None and options.seed is not None:
        raise ValueError("--seed: all models of a run with a grid of weights are scored, leave it out")
    name = folder.config().get("data")
    if name not in NAMES:
        raise ValueError(
            f"RUN {folder.path}: the scores of disentanglement need data with known factors ({', '.join(NAMES)}), and "
            f"it was made with {name}; without factors there are active units, the KL of each dimension, the total "
            "correlation and the likelihood: leave out --metrics"
        )
    folder.check_no_export()
    summary = checked_summary(folder)  # what is added to no summary would make it a finished run
    prepared, trained = open_run(options.run, options.data_dir, options.seed)
    if rescore is not None:
        _check_points(options, prepared.settings.latent_dim)
        return lambda: write_outcome(prepared, rescore(prepared, options, summary))
    code = jax.eval_shape(lambda x: mean_of(trained.model.encode(trained.params, x)), prepared.problem.test[0])
    if not isinstance(code, jax.ShapeDtypeStruct) or len(code.shape) != 1:
        raise ValueError(f"RUN {options.run}: the scores of disentanglement need a code that is one vector, got {code}")
    _check_points(options, code.shape[0])
    data = load_factor_data(str(name), options.data_dir)
    return lambda: _score_one(prepared, trained, data, options)


def _check_points(options: Evaluate, latent_dim: int) -> None:
    if options.points <= latent_dim:
        raise ValueError(f"--points must be above the {latent_dim} dimensions of the code, got {options.points}")


def _score_one(prepared: PreparedRun, trained: TrainedModel, data: FactorData, options: Evaluate) -> dict[str, Any]:
    folder, started, recipe = prepared.folder, time.monotonic(), prepared.recipe
    key = keys_of(trained.member.seed).further_evaluation
    prepare = prepared.problem.prepare_raw
    to_bytes = lambda image: jnp.round(255 * image).astype(jnp.uint8)
    render = lambda table, key, index: prepare(key, to_bytes(data.render(table, key, index)))
    seen = dataclasses.replace(data, render=render)
    say(f"{recipe.name} on {prepared.data.name}; {device_name()}; {folder.path}")
    settings = Scoring(points=options.points, dci_points=options.dci_points)
    scorer = Scorer(settings, trained.model, seen, key)
    table = table_with_progress(scorer, trained.params)
    scores = score_table(scorer, trained.params, table, recipe.name)
    del scores["active_units"]  # those of the test images are in the summary already
    references = references_for(settings, data, table.means.shape[1])
    say(f"{'score':<26}{'':>9}{'floor':>9}{'ceiling':>9}")
    for name, value in scores.items():
        metric, ends = metric_of(name), [references[end][name] for end in ("floor", "ceiling")]
        say(f"{metric.heading:<26}" + "".join(f"{metric.text(number):>9}" for number in (value, *ends)))
    scores |= references | {"points": options.points, "dci_points": options.dci_points or options.points}
    scores["reference_dci_points"] = reference_dci_points(settings)
    add_to_summary(folder, trained.member.seed, scores)
    figures = table_figures(table, data, key)
    return finish_evaluation(prepared, trained, measure(prepared, trained, 0), started, figures)
