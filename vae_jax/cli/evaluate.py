"""`vae-jax evaluate`: a finished run measured further."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vae_jax.atomic import check_writable
from vae_jax.runs.factors.evaluate import prepare_scoring
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.evaluation import prepare_evaluation, run_evaluation
from vae_jax.runs.loading import recipe_of
from vae_jax.runs.options import Evaluate
from vae_jax.runs.progress import say


def prepare_evaluate(options: Evaluate) -> Callable[[], None]:
    if options.metrics == "disentanglement" or recipe_of(RunFolder(options.run, "RUN")).kind.rescore is not None:
        folder, score = prepare_scoring(options)
        _take(folder)
        return lambda: _tell(folder, score, "nothing was written")
    opened = prepare_evaluation(options)
    folder = opened.prepared.folder
    if folder.summary() is not None:
        _take(folder)
    kept = f"the parts that were done are in {folder.path / 'summary.json'}"
    return lambda: _tell(folder, lambda: run_evaluation(opened, options), kept)


def _take(folder: RunFolder) -> None:
    check_writable(folder.path, "RUN")
    folder.lock()


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
