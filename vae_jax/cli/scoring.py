"""`vae-jax score`: the ELBO and the reconstruction error of every example of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.cli.inputs import is_of_table
from vae_jax.cli.options import Score
from vae_jax.cli.rows import prepare_rows, write_rows
from vae_jax.evaluation import ImportanceSampled, ScoredExamples, importance_warning
from vae_jax.evaluation._per_example import encoded_at, scored_at
from vae_jax.row_files import Rows
from vae_jax.runs.each_example import computed
from vae_jax.runs.loading import Loaded
from vae_jax.runs.progress import say


def prepare_score(options: Score) -> Callable[[], None]:
    work = prepare_rows(options, options.output, "scores.csv", lambda loaded: _check(options, loaded))

    def compute(*batch: Any) -> ScoredExamples:
        return scored_at(*batch, options.elbo_samples, options.nll_samples)

    def write() -> None:
        kept: list[ImportanceSampled] = []
        rows = _rows(computed(work.part, compute, "scoring"), kept, is_of_table(work.part.loaded))
        write_rows(work, _sorted(rows) if options.sort else (row for row, _ in rows), "scores")
        if kept:
            whole = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
            if warning := importance_warning(whole, options.nll_samples):
                say(f"warning: {warning}")

    return write


def _check(options: Score, loaded: Loaded) -> None:
    """Raises ValueError for --nll-samples if the model has no density, and says if it has no ELBO."""
    model, run = loaded.model, f"RUN {loaded.folder.path}"
    xs = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), loaded.problem.example)
    shapes = jax.eval_shape(lambda params: encoded_at(model, params, xs), loaded.params)
    key, index = jax.random.key(0), jnp.zeros(1, jnp.int32)
    scored = jax.eval_shape(lambda params: scored_at(model, params, key, index, xs, 1, 0), loaded.params)
    if options.nll_samples and shapes.codes is not None:
        raise ValueError(
            f"--nll-samples {options.nll_samples}: the encoder of {run} gives discrete codes without randomness, so "
            "log p(x) cannot be estimated better than by the ELBO: leave it out"
        )
    if options.nll_samples and scored.elbo is None:
        raise ValueError(f"--nll-samples {options.nll_samples}: the posterior of {run} has no density: leave it out")
    if scored.elbo is None:
        say(f"{run} has no ELBO: the reconstruction error is the score")


def _rows(
    batches: Iterator[tuple[dict[str, Any], ScoredExamples]], kept: list[ImportanceSampled], of_table: bool
) -> Iterator[Any]:
    """Rows and scores of each batch; the importance samples of the batch are appended to `kept`."""
    for about, scored in batches:
        columns: dict[str, Any] = {"elbo": scored.elbo}
        if scored.importance is not None:
            kept.append(scored.importance)
            columns["log_likelihood"] = scored.importance.log_likelihood
            columns["effective_sample_size"] = scored.importance.effective_sample_size
        # A squared error over columns of different kinds, some of them missing, means nothing.
        columns |= {"distortion": scored.distortion, "mse": None if of_table else scored.mse}
        yield about | {name: values for name, values in columns.items() if values is not None}, scored.score


def _sorted(batches: Iterator[Any]) -> Iterator[Rows]:
    """All rows at once, by score from the lowest up; rows whose score is not a number come first."""
    rows, scores = zip(*batches, strict=True)
    score = np.concatenate(scores)
    order = np.argsort(np.where(np.isnan(score), -np.inf, score), kind="stable")
    whole = {name: np.concatenate([part[name] for part in rows])[order] for name in rows[0]}
    yield whole | {"name": whole["name"].tolist()}
