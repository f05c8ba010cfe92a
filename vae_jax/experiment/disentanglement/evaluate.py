"""`vae-jax evaluate RUN --metrics disentanglement`: the scores of a finished run, whatever experiment made it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.data import FactorData, fingerprint, load_factor_data
from vae_jax.data._factor_sets import NAMES
from vae_jax.distributions import mean_of
from vae_jax.evaluation import Measures
from vae_jax.experiment.disentanglement.figures import table_figures
from vae_jax.experiment.disentanglement.methods import make_model
from vae_jax.experiment.disentanglement.run import Prepared, reference_dci_points, references_for, write_summary
from vae_jax.experiment.disentanglement.scoring import score, score_table, table_with_progress, with_udr
from vae_jax.experiment.disentanglement.settings import EXPERIMENT, DisentangleSettings, members_of, settings_of
from vae_jax.experiment.disentanglement.training import keys_of, load_snapshot
from vae_jax.experiment.environment import device_name
from vae_jax.experiment.evaluate import Evaluate, open_run
from vae_jax.experiment.limits import check_numbers
from vae_jax.experiment.loaded import checked_summary
from vae_jax.experiment.progress import say
from vae_jax.experiment.summaries import add_to_summary
from vae_jax.experiment.trained import Trained, draw_figures, measure, write_trained_report
from vae_jax.experiment.trained import keys_of as keys_of_trained
from vae_jax.runs import RunFolder
from vae_jax.visualization import ReportFigure, save_figure


class Scoring(NamedTuple):
    """A run that can be scored; nothing is written yet."""

    folder: RunFolder
    run: Callable[[], dict[str, Any]]  # scores, writes, and returns the summary


def prepare_scoring(options: Evaluate) -> Scoring:
    """The run with its models and data, all that can be checked checked.

    Raises:
      ValueError: where an option is out of range, RUN is not the folder of a finished run, or its data has no factors.
    """
    check_numbers(options)
    folder = RunFolder(options.run, "RUN")
    config = folder.config()
    if config.get("experiment") == EXPERIMENT:
        if options.seed is not None:
            raise ValueError(f"--seed: of a run of experiments.{EXPERIMENT} all models are scored, leave it out")
        prepared, _ = open_disentangled(options.run, options.data_dir)
        settings = dataclasses.replace(prepared.settings, points=options.points, dci_points=options.dci_points)
        return Scoring(folder, lambda: _score_run(prepared._replace(settings=settings)))
    data = _factor_data(folder, config.get("data"), options.data_dir)
    checked_summary(folder, str(config.get("experiment")))  # what is added to no summary would make it a finished run
    trained = open_run(options.run, options.data_dir, options.seed)
    code = jax.eval_shape(lambda x: mean_of(trained.model.encode(trained.params, x)), trained.problem.test[0])
    if not isinstance(code, jax.ShapeDtypeStruct) or len(code.shape) != 1:
        raise ValueError(f"RUN {options.run}: the scores of disentanglement need a code that is one vector, got {code}")
    return Scoring(folder, lambda: _score_trained(trained, data, options))


def open_disentangled(path: Path, data_dir: str | None = None) -> tuple[Prepared, dict[str, Any]]:
    """A finished run of the disentanglement experiment with its data, and its summary.

    Raises:
      ValueError: if the run has not finished, or its data cannot be loaded or have changed.
    """
    folder = RunFolder(path, "RUN")
    settings = settings_of(folder, DisentangleSettings(run_dir=path, data_dir=data_dir))
    folder.check_no_export()
    summary = checked_summary(folder, EXPERIMENT)
    data = _factor_data(folder, settings.data, data_dir)
    folder.check_data(fingerprint(data), settings.data)
    return Prepared(settings, data, folder), summary


def _factor_data(folder: RunFolder, name: Any, data_dir: str | None) -> FactorData:
    if name not in NAMES:
        raise ValueError(
            f"RUN {folder.path}: the scores of disentanglement need data with known factors ({', '.join(NAMES)}), and "
            f"it was made with {name}; without factors there are active units, the KL of each dimension, the total "
            "correlation and the likelihood: leave out --metrics"
        )
    return load_factor_data(name, data_dir)


def _score_run(prepared: Prepared) -> dict[str, Any]:
    settings, data, folder = prepared
    started, model, key = time.monotonic(), make_model(settings, data.image_shape), keys_of(settings).scoring
    models = load_snapshot(settings, model, folder, settings.steps)
    records = []
    before = (folder.summary() or {})["models"]
    for member, params, record in zip(members_of(settings), models, before, strict=True):
        given = {"objective": settings.objective, "beta": member.beta, "seed": member.seed, "steps": settings.steps}
        name = f"{settings.objective} {member.beta:g}, seed {member.seed}"
        # A model that diverged keeps its last finite parameters, but is not scored.
        scores = {"diverged": record["diverged"]} if "diverged" in record else None
        records.append(given | (scores or score(settings, model, params, data, key, name)))
    records = with_udr(records, model, models, data, key)
    seconds = {
        "training_seconds": (folder.summary() or {}).get("training_seconds", 0.0),
        "scoring_seconds": round(time.monotonic() - started, 2),
    }
    return write_summary(prepared, records, seconds)


def _score_trained(trained: Trained, data: FactorData, options: Evaluate) -> dict[str, Any]:
    folder, started = trained.folder, time.monotonic()
    key = keys_of_trained(trained.settings).further_evaluation
    prepare = trained.problem.pixels.prepare
    to_bytes = lambda image: jnp.round(255 * image).astype(jnp.uint8)
    render = lambda table, key, index: prepare(key, to_bytes(data.render(table, key, index)))
    seen = dataclasses.replace(data, render=render)
    say(f"{trained.method.name} on {trained.images.name}; {device_name()}; {folder.path}")
    settings = DisentangleSettings(points=options.points, dci_points=options.dci_points)
    table = table_with_progress(trained.model, trained.params, seen, name="encoding")
    scores = score_table(settings, table, trained.model, trained.params, seen, key, trained.method.name)
    del scores["active_units"]  # of the test images they are in the summary already
    references = references_for(settings, data, table.means.shape[1])
    say(f"{'score':<26}{'':>8}{'floor':>8}{'ceiling':>9}")
    for score_name, value in scores.items():
        ends = [references[end][score_name] for end in ("floor", "ceiling")]
        say(f"{score_name:<26}{value:>8.2f}{ends[0]:>8.2f}{ends[1]:>9.2f}")
    scores |= references | {"points": options.points, "dci_points": options.dci_points or options.points}
    scores["reference_dci_points"] = reference_dci_points(settings)
    summary = add_to_summary(folder, trained.settings.seed, scores)
    measures: Measures = measure(trained, 0)
    own = next((model for model in summary.get("models", ()) if model["seed"] == trained.settings.seed), summary)
    figures = draw_figures(trained, measures, own)
    for captioned in table_figures(table, data, key):
        path = folder.figures / f"{captioned.name}.png"
        save_figure(captioned.figure, path)
        figures.append(ReportFigure(captioned.name, captioned.title, captioned.caption, path))
    seconds = {"evaluation_seconds": round(time.monotonic() - started, 2), "evaluation_device": device_name()}
    summary = folder.add_to_summary(seconds)
    write_trained_report(trained, summary, figures)
    return summary
