"""The disentanglement recipe: a grid of weights and seeds on rendered data, scored against the known factors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from vae_jax.data import FactorData, load_factor_data
from vae_jax.data._dsprites import agreement_with_sprites
from vae_jax.data._factors import factors_of
from vae_jax.evaluation.disentanglement import (
    measure_disentanglement,
    unsupervised_disentanglement_ranking,
)
from vae_jax.models import gaussian_vae
from vae_jax.networks import conv_encoder
from vae_jax.runs.checks import check_data_dir
from vae_jax.runs.choices import OPTIMIZERS, SCHEDULES, WEIGHTED, make_optimizer
from vae_jax.runs.factors import problem
from vae_jax.runs.factors.outcome import outcome
from vae_jax.runs.factors.scoring import score_again, score_all
from vae_jax.runs.machine import device_name
from vae_jax.runs.options import Evaluate
from vae_jax.runs.recipe import Kind, Outcome, PreparedRun, Recipe, TrainedModel
from vae_jax.runs.settings import FactorSettings

_SHOWN = 1_000  # images shown by the explorer and others, evenly spread over the factors


def _load(settings: FactorSettings) -> FactorData:
    check_data_dir(settings.data, settings.data_dir)
    return load_factor_data(settings.data, settings.data_dir)


def _opening(prepared: PreparedRun) -> str:
    settings, data, length = prepared.settings, prepared.data, prepared.length
    count = len(problem.members_of(settings))
    text = (
        f"{settings.objective} on {data.name}: {count} model{'s at once' * (count > 1)}, {settings.steps:,} steps "
        f"(an epoch has {length.steps_per_epoch}); {device_name()}; in {prepared.folder.path}"
    )
    return f"{text}\n{agreement_with_sprites(data)}" if data.name == "dsprites" else text


def _finish(prepared: PreparedRun, models: Sequence[TrainedModel], seconds: Callable[[], float]) -> Outcome:
    trained, started = seconds(), time.monotonic()
    diverged = {i: int(one.history[-1]["step"]) for i, one in enumerate(models) if "diverged" in one.summary}
    records = score_all(prepared, diverged)
    taken = {"training_seconds": trained, "scoring_seconds": round(time.monotonic() - started, 2)}
    return outcome(prepared, records, taken)


def redraw(prepared: PreparedRun, trained: TrainedModel, summary: Mapping[str, Any]) -> Outcome:
    """Draws the figures of a finished run again, from the numbers in its summary."""
    seconds = {name: summary[name] for name in ("training_seconds", "scoring_seconds")}
    # `evaluate` may have scored the run with other numbers of images than its settings give.
    scored = _by_points(prepared, summary["points"], summary["dci_points"])
    new = outcome(scored, summary["models"], seconds)
    return new._replace(summary=dict(summary) | new.summary)


def rescore(prepared: PreparedRun, options: Evaluate, before: Mapping[str, Any]) -> Outcome:
    """Scores all models of a finished run again, with the numbers of images in the options."""
    started, scored = time.monotonic(), _by_points(prepared, options.points, options.dci_points)
    records = score_again(scored, before["models"])
    seconds = {
        "training_seconds": before.get("training_seconds", 0.0),
        "scoring_seconds": round(time.monotonic() - started, 2),
    }
    new = outcome(scored, records, seconds)
    return new._replace(summary=dict(before) | new.summary)


def _by_points(prepared: PreparedRun, points: int, dci_points: int | None) -> PreparedRun:
    return prepared._replace(settings=dataclasses.replace(prepared.settings, points=points, dci_points=dci_points))


def _show(settings: FactorSettings, data: FactorData) -> tuple[np.ndarray, jax.Array, np.ndarray]:
    """Images spread over all factors: pixels, inputs of the model, and the first factor as the label."""
    indices = np.linspace(0, data.num_images - 1, min(_SHOWN, data.num_images)).astype(np.int32)
    xs = jax.jit(FactorData.images)(data, jax.random.key(0), indices)
    pixels = np.asarray((255.0 * xs.clip(0.0, 1.0)).round()).astype(np.uint8)
    return pixels, xs, np.asarray(factors_of(indices, data.factor_sizes)[0])


FACTORS = Kind(
    load=_load,
    resolve=problem.resolve,
    problem=lambda settings, data, folder: problem.make_problem(settings, data),
    without_data=lambda settings, folder: problem.without_data(settings, folder.image_shape()),
    members=problem.members_of,
    alone=problem.alone,
    length=problem.length_of,
    default_name=lambda settings, stamp: f"{settings.objective}-{settings.data}-{stamp}",
    opening=_opening,
    finish=_finish,
    redraw=redraw,
    show=_show,
    rescore=rescore,
)
DISENTANGLE = Recipe(
    "disentangle",
    "Disentanglement",
    "Many models at once on images with known factors, scored by the metrics of the disentanglement literature.",
    FACTORS,
    FactorSettings(),
    problem.make_model,
    problem.make_objective,
    # Earlier versions had no schedules here: in their checkpoints a constant learning rate is a number.
    partial(make_optimizer, constant=float),
    axes=(WEIGHTED, OPTIMIZERS, SCHEDULES),
    check=problem.check,
    cites=(gaussian_vae, conv_encoder, measure_disentanglement, unsupervised_disentanglement_ranking),
    command="vae-jax train disentangle",
)
