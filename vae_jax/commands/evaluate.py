"""`vae-jax evaluate`: a finished run measured further."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vae_jax.experiment.disentanglement.evaluate import prepare_scoring
from vae_jax.experiment.evaluate import Evaluate, prepare_evaluation, run_evaluation
from vae_jax.experiment.progress import say
from vae_jax.runs import check_writable


def prepare_evaluate(options: Evaluate) -> Callable[[], None]:
    if options.metrics == "disentanglement":
        folder, score = prepare_scoring(options)
        check_writable(folder.path, "RUN")
        return lambda: _tell(folder.report, score, "nothing was written")
    trained = prepare_evaluation(options)
    check_writable(trained.folder.path, "RUN")
    kept = f"the parts that were done are in {trained.folder.path / 'summary.json'}"
    return lambda: _tell(trained.folder.report, lambda: run_evaluation(trained, options), kept)


def _tell(report: Any, evaluate: Callable[[], dict[str, Any]], kept: str) -> None:
    try:
        summary = evaluate()
    except KeyboardInterrupt:
        say(f"interrupted; {kept}")
        raise SystemExit(130) from None
    say(f"report: {report}")
    print(json.dumps(summary, allow_nan=False))
