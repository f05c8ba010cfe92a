"""`vae-jax evaluate`: a finished run measured further."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from vae_jax.atomic import check_writable
from vae_jax.runs.factors.evaluate import prepare_scoring
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
            f"--metrics likelihood: {folder} has no test images, only images of known factors: leave it out"
        )
    scores = of_grid or options.metrics == "disentanglement"
    _check_used(options, scores)
    finished = folder.summary() is not None
    if finished:
        check_writable(folder.path, "RUN")
        folder.lock()  # before anything is read that is written back
    kept = "nothing was written"
    try:
        if scores:
            evaluate = prepare_scoring(options)
        else:
            opened = prepare_evaluation(options)
            evaluate = lambda: run_evaluation(*opened, options, finished)
            if finished:
                kept = f"the parts that were done are in {folder.path / 'summary.json'}"
    except BaseException:
        folder.unlock()
        raise
    return lambda: _tell(folder, evaluate, kept)


def _check_used(options: Evaluate, scores: bool) -> None:
    """Refuses flags of the metrics that are not measured."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in _OF_LIKELIHOOD if scores else _OF_SCORES:
        if getattr(options, name) != defaults[name]:
            raise ValueError(
                f"--{flag_of(name)} is of the likelihood, and RUN {options.run} is scored against known factors: leave "
                "it out"
                if scores
                else f"--{flag_of(name)} is a flag of --metrics disentanglement: leave it out, or give that"
            )


def _tell(folder: RunFolder, evaluate: Callable[[], dict[str, Any]], kept: str) -> None:
    try:
        summary = evaluate()
    except KeyboardInterrupt:
        say(f"interrupted; {kept}")
        raise SystemExit(130) from None
    finally:
        folder.unlock()
    if "unfinished" not in summary:
        say(f"report: {folder.report}")
    print(json.dumps(summary, allow_nan=False))
