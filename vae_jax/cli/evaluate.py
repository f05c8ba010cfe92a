"""`vae-jax evaluate`: further measurements of a trained run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from vae_jax.atomic import check_writable
from vae_jax.runs.factors.evaluate import factor_figures, prepare_scoring
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.evaluation import prepare_evaluation, run_evaluation
from vae_jax.runs.limits import flag_of
from vae_jax.runs.loading import recipe_of
from vae_jax.runs.options import Evaluate
from vae_jax.runs.progress import say

_OF_LIKELIHOOD = ("nll_samples", "surgery_points", "ais_images", "ais_chains", "ais_temperatures", "ais_start")
_OF_SCORES = ("points", "dci_points")


def prepare_evaluate(options: Evaluate) -> Callable[[], None]:
    folder = RunFolder(options.run, "RUN")
    of_grid = recipe_of(folder).kind.rescore is not None
    if of_grid and options.metrics == "likelihood":
        raise ValueError(
            f"--metrics likelihood needs test images, which {folder} does not have: it was trained on images of known "
            "factors; leave it out"
        )
    scores = of_grid or options.metrics == "disentanglement"
    _check_used(options, scores)
    finished = folder.summary() is not None
    if finished:
        check_writable(folder.path, "RUN")
        folder.lock()  # before anything is read that is written back
    written = "nothing was written"
    try:
        if scores:
            evaluate = prepare_scoring(options)
        else:
            opened = prepare_evaluation(options)
            figures = factor_figures(*opened, options.data_dir)
            evaluate = lambda: run_evaluation(*opened, options, finished, figures)
            if finished:
                written = f"what was measured until then is in {folder.path / 'summary.json'}"
    except BaseException:
        folder.unlock()
        raise
    return lambda: _evaluate(folder, evaluate, written)


def _check_used(options: Evaluate, scores: bool) -> None:
    """Raises ValueError for a flag of the metrics that are not measured."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in _OF_LIKELIHOOD if scores else _OF_SCORES:
        if getattr(options, name) != defaults[name]:
            flag = f"--{flag_of(name)}"
            raise ValueError(
                f"{flag} belongs to the likelihood, but RUN {options.run} is scored against known factors: leave it out"
                if scores
                else f"{flag} requires --metrics disentanglement: leave {flag} out, or give both"
            )


def _evaluate(folder: RunFolder, evaluate: Callable[[], dict[str, Any]], written: str) -> None:
    """Evaluates the run and prints the summary; after Ctrl-C, `written` tells what has been saved."""
    try:
        summary = evaluate()
    except KeyboardInterrupt:
        say(f"interrupted; {written}")
        raise SystemExit(130) from None
    finally:
        folder.unlock()
    if "unfinished" not in summary:
        say(f"report: {folder.report}")
    print(json.dumps(summary, allow_nan=False))
