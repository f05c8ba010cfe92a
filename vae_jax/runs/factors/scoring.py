"""Scores of the models of a run: each model is scored once at each mark, and its record is saved in `scores/`."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.checksums import Damaged
from vae_jax.data import FactorData, factors_of
from vae_jax.data._factors import Render
from vae_jax.evaluation import kl_per_dimension, mean_over_examples, mean_over_samples, posterior_means
from vae_jax.evaluation.disentanglement import (
    CodeTable,
    Labeled,
    encode_table,
    measure_disentanglement,
    unsupervised_disentanglement_ranking,
)
from vae_jax.models._model import VAE
from vae_jax.objectives import elbo_from_terms, elbo_terms
from vae_jax.params import Params
from vae_jax.runs.factors.problem import members_of
from vae_jax.runs.fitting.snapshots import load_from, snapshot
from vae_jax.runs.folder import RunFolder, defined
from vae_jax.runs.keys import keys_of
from vae_jax.runs.progress import CountDisplay, say
from vae_jax.runs.recipe import Member, PreparedRun, name_of, weight_in, weight_name
from vae_jax.runs.settings import Scoring

_ELBO_IMAGES, _ELBO_SAMPLES, _UDR_IMAGES = 1_000, 4, 2_000
draw_images = jax.jit(FactorData.draw, static_argnums=2)  # (data, key, count)
_COARSE_VALUES, _COARSE_IMAGES = 8, 10_000  # largest numbers of values of a factor, and of images, in a coarse table


class Scorer(NamedTuple):
    """Everything that the scores of models depend on, beside their parameters."""

    settings: Scoring
    model: VAE
    data: FactorData
    key: jax.Array


def scorer_of(prepared: PreparedRun) -> Scorer:
    """Scorer of all models of a run."""
    settings = prepared.settings
    return Scorer(settings, prepared.model, prepared.data, keys_of(settings.seed).fitting)


def table_with_progress(
    scorer: Scorer, params: Params, sizes: Sequence[int] | None = None, name: str = "encoding"
) -> CodeTable:
    """Encodes all images, or those of evenly spaced values of each factor, as `encode_table` does, with a bar.

    Args:
      sizes: number of values of each factor; None: all.
      name: text of the bar.
    """
    data = scorer.data
    sizes = data.factor_sizes if sizes is None else tuple(sizes)
    with CountDisplay(name, math.prod(sizes)) as display:
        render = _renderer(data.render, data.factor_sizes, sizes)
        return encode_table(scorer.model, params, render, sizes, display.add, data.table)


@functools.lru_cache(maxsize=8)  # one function for all models, so that one program is compiled for them
def _renderer(
    render_at: Render, factor_sizes: tuple[int, ...], sizes: tuple[int, ...]
) -> Callable[[Any, jax.Array], jax.Array]:
    """Function (table, flat index) -> image, over a grid of evenly spaced values of each factor."""

    def render(table: Any, index: jax.Array) -> jax.Array:
        values = zip(jnp.unravel_index(index, sizes), sizes, factor_sizes, strict=True)
        spread = tuple(value * full // size for value, size, full in values)
        whole = jnp.ravel_multi_index(spread, factor_sizes, mode="clip")
        return render_at(table, jax.random.fold_in(jax.random.key(0), whole), whole)

    return render


def score_all(prepared: PreparedRun, diverged: Mapping[int, int]) -> list[dict[str, Any]]:
    """Scores all models at every mark, and returns their records after the last step, with UDR.

    Marks before the last step have only the scores that take seconds, on a coarser grid of factors.

    Args:
      diverged: index of each model that diverged -> the step at which it diverged, after which it has no scores.
    """
    settings, folder, scorer, records = prepared.settings, prepared.folder, scorer_of(prepared), []
    for mark in prepared.length.marks:
        steps = prepared.length.steps_at(mark)
        models = functools.cache(partial(load_mark, prepared, mark))
        for index, member in enumerate(members_of(settings)):
            name = f"{name_of(settings, member)}, {steps} steps"
            given = given_of(settings, member) | {"steps": steps}
            coarse = _kept(folder, f"coarse-{steps}-{index}")
            if coarse is None:
                over = steps >= diverged.get(index, steps + 1)
                scores = {} if over else _score_fast(scorer, models, index, name)
                coarse = _keep(folder, f"coarse-{steps}-{index}", given | scores)
            if mark != prepared.length.marks[-1]:
                continue
            final = _kept(folder, f"final-{index}")
            if final is None:
                ended = diverged.get(index)
                scores = score(scorer, models()[index], steps, name) if ended is None else _unscored(name, ended)
                final = _keep(folder, f"final-{index}", given | scores)
            records.append(final | {"coarse": coarse})
    return with_udr(scorer, records, models())


def score_again(prepared: PreparedRun, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scores all models after the last step with these settings, and returns their records; earlier scores are unused.

    Args:
      before: records in the summary of the run; models that diverged are not scored.
    """
    settings, scorer, mark = prepared.settings, scorer_of(prepared), prepared.length.marks[-1]
    models, records, steps = load_mark(prepared, mark), [], prepared.length.steps_at(mark)
    for member, params, record in zip(members_of(settings), models, before, strict=True):
        # A model that diverged keeps its last finite parameters, but is not scored.
        scores = {"diverged": record["diverged"]} if "diverged" in record else None
        scores = scores or score(scorer, params, steps, name_of(settings, member))
        records.append(given_of(settings, member) | {"steps": steps} | scores)
    return with_udr(scorer, records, models)


def given_of(settings: Any, member: Member) -> dict[str, Any]:
    """Returns the part of a record that names its model: objective, weight, seed."""
    return {"objective": settings.objective, weight_name(settings): member.weight, "seed": member.seed}


def load_mark(prepared: PreparedRun, mark: int) -> list[Params]:
    """Parameters of every model at a mark."""
    path = snapshot(prepared.folder, prepared.length, mark)
    return load_from(path, prepared.recipe, prepared.settings, prepared.model, prepared.folder)


def on_the_way(prepared: PreparedRun) -> list[dict[str, Any]]:
    """Coarse scores of all models, at each step at which they were scored.

    Raises:
      Damaged: a file of scores is missing or damaged.
    """
    folder = prepared.folder
    names = [
        _name(f"coarse-{prepared.length.steps_at(mark)}-{index}")
        for mark in prepared.length.marks
        for index in range(len(members_of(prepared.settings)))
    ]
    records = [folder.read_part(name) for name in names]
    if None in records:
        lost = names[records.index(None)]
        raise Damaged(f"{folder}: {lost} is missing; --resume measures it again")
    return [record for record in records if record is not None]


def score_table(scorer: Scorer, params: Params, table: CodeTable, name: str = "scoring") -> dict[str, Any]:
    """Computes every score of the model that the table was encoded with."""
    settings = scorer.settings
    return measure_disentanglement(
        table,
        scorer.key,
        points=settings.points,
        dci_points=settings.dci_points,
        drawn=None if settings.whole_table else _drawn(scorer, params),
        num_jobs=os.cpu_count(),
        on_part=lambda part: say(f"{name}: {part}"),
    )


def table_sizes(settings: Scoring, data: FactorData) -> tuple[int, ...]:
    """Number of values of each factor in the table that the settings ask for."""
    return data.factor_sizes if settings.whole_table else coarse_sizes(data.factor_sizes)


def score(scorer: Scorer, params: Params, steps: int, name: str) -> dict[str, Any]:
    """Computes every score of a model of a run, and its negative ELBO, rate and distortion on 1,000 drawn images.

    A model that has diverged has no scores, but its number of steps under "diverged".
    """
    if not _is_finite(params):
        return _unscored(name, steps)
    table = table_with_progress(scorer, params, table_sizes(scorer.settings, scorer.data), name)
    images_key, elbo_key, scores_key = jax.random.split(scorer.key, 3)
    scores = score_table(scorer._replace(key=scores_key), params, table, name)
    xs = draw_images(scorer.data, images_key, _ELBO_IMAGES)
    terms = mean_over_samples(elbo_terms, scorer.model, params, elbo_key, xs, _ELBO_SAMPLES)
    return scores | {
        "negative_elbo": mean_over_examples(-elbo_from_terms(*terms)).mean,
        "rate": mean_over_examples(terms.kl).mean,
        "distortion": mean_over_examples(-terms.log_likelihood).mean,
        "kl_per_dimension": None if table.kl_per_dimension is None else table.kl_per_dimension.tolist(),
    }


def coarse_sizes(factor_sizes: Sequence[int]) -> tuple[int, ...]:
    """Number of values of each factor in a coarse table: at most 8, or fewer to stay within 10,000 images."""
    for values in range(_COARSE_VALUES, 2, -1):
        sizes = tuple(min(size, values) for size in factor_sizes)
        if math.prod(sizes) <= _COARSE_IMAGES:
            return sizes
    return tuple(min(size, 2) for size in factor_sizes)


def _drawn(scorer: Scorer, params: Params) -> tuple[Labeled, Labeled]:
    """Codes of images of the whole data set, to fit the scores to and to test them on."""
    data, count = scorer.data, max(scorer.settings.points, scorer.settings.dci_points or 0)

    def labeled(key: jax.Array, count: int) -> Labeled:
        indices = jax.random.randint(key, (count,), 0, data.num_images)
        codes = posterior_means(scorer.model, params, jax.jit(FactorData.images)(data, key, indices))
        return Labeled(np.asarray(codes), np.asarray(factors_of(indices, data.factor_sizes)).T)

    keys = (jax.random.fold_in(scorer.key, i) for i in (1, 2))
    return labeled(next(keys), count), labeled(next(keys), max(count // 2, 2))


def _unscored(name: str, steps: int) -> dict[str, Any]:
    say(f"{name}: diverged, not scored")
    return {"diverged": steps}


def _score_fast(scorer: Scorer, models: Callable[[], Sequence[Params]], index: int, name: str) -> dict[str, Any]:
    """Scores that take seconds, of a model before the last step; none if its parameters are lost or not finite."""
    try:
        params = models()[index]
    except Damaged as error:  # training has passed this snapshot, so it cannot be made again
        say(f"{name}: not scored ({error.__cause__ or error})")
        return {}
    if not _is_finite(params):
        return {}
    table = table_with_progress(scorer, params, coarse_sizes(scorer.data.factor_sizes), name)
    return measure_disentanglement(table, scorer.key, points=scorer.settings.points, fast=True)


def with_udr(scorer: Scorer, records: list[dict[str, Any]], models: Sequence[Params]) -> list[dict[str, Any]]:
    """Adds "udr" to the records, computed among the models of each weight."""
    xs = draw_images(scorer.data, scorer.key, _UDR_IMAGES)
    codes = [posterior_means(scorer.model, params, xs) for params in models]
    kl = [kl_per_dimension(scorer.model, params, xs) for params in models]
    for weight in {weight_in(record) for record in records}:
        places = [i for i, record in enumerate(records) if weight_in(record) == weight and "diverged" not in record]
        scores = unsupervised_disentanglement_ranking([codes[i] for i in places], [kl[i] for i in places])
        for place, value in zip(places, scores, strict=True):
            records[place]["udr"] = value
    return records


def _is_finite(params: Params) -> bool:
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(params))


def _name(record: str) -> str:
    return f"scores/{record}.json"


def _kept(folder: RunFolder, record: str) -> dict[str, Any] | None:
    """Reads a record from the folder; None if it is missing or damaged."""
    name = _name(record)
    try:
        return folder.read_part(name)
    except ValueError as error:
        say(f"{name} is measured again ({error})")
        return None


def _keep(folder: RunFolder, record: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a record, and reads it back from the file, so that a resumed run has the same numbers."""
    folder.write_part(_name(record), defined(content))
    return folder.read_part(_name(record)) or {}
