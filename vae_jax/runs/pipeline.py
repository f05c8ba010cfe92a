"""Pipeline of a run: training, measurement, figures, report."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.multihost_utils import process_allgather

from vae_jax.params import Params
from vae_jax.runs.config import to_finish
from vae_jax.runs.fitting.train_models import train_models
from vae_jax.runs.folder import defined
from vae_jax.runs.machine import device_name, versions
from vae_jax.runs.progress import ProgressDisplay, say
from vae_jax.runs.recipe import Member, PreparedRun, TrainedModel
from vae_jax.runs.reporting.report import write_outcome
from vae_jax.runs.reporting.summaries import course_of
from vae_jax.text import printable
from vae_jax.training import Progress
from vae_jax.training.distributed import is_writer


def run(prepared: PreparedRun) -> dict[str, Any]:
    """Trains, measures, draws the figures and writes the report; returns the summary.

    If several processes train, everything after the training is done by the first process, on its first device; the
    other processes return an empty summary.
    """
    try:
        return _run(prepared)
    finally:
        prepared.folder.unlock()


def _run(prepared: PreparedRun) -> dict[str, Any]:
    recipe, settings, kind = prepared.recipe, prepared.settings, prepared.recipe.kind
    with ProgressDisplay(prepared.length.epochs) as display:
        display.say(kind.opening(prepared))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the objective's warm-up takes")  # `opening` has said so, with the flags
            training, progress, save = train_models(prepared, display)
        # Gathered from the devices of all processes, over which the arrays are split or copied.
        params = [jax.tree.map(jnp.asarray, process_allgather(one.best_params, tiled=True)) for one in progress]
        fit_after = recipe.fit_after(settings)
        if fit_after is not None:
            params = [fit_after(prepared, best) for best in params]
            save(params)
    if not is_writer():
        return {}
    if not prepared.length.marks:
        say(f"best epoch {', '.join(f'{one.best_epoch} of {len(one.history)}' for one in progress)}")
        if any(one.best_epoch == prepared.length.epochs for one in progress) and "epochs" in kind.changeable(settings):
            longer = f"{to_finish(recipe, prepared.folder.path)} --epochs {2 * prepared.length.epochs}"
            say(f"the last epoch is the best; to train longer: {printable(longer)}")
    whole = zip(kind.members(settings), progress, params, strict=True)
    models = [_trained(prepared, member, one, best) for member, one, best in whole]
    outcome = kind.finish(prepared, models, training.seconds)
    first_step = training.seconds_to_first_step
    summary = outcome.summary | {
        "experiment": recipe.name,
        "data": prepared.data.name,
        "data_note": prepared.data.note,
        "device": device_name(),
        "versions": versions(),
        **({} if first_step is None else {"seconds_to_first_step": first_step}),
        "wall_seconds": training.seconds(),
    }
    return write_outcome(prepared, outcome._replace(summary=defined(summary)))


def _trained(prepared: PreparedRun, member: Member, progress: Progress, params: Params) -> TrainedModel:
    """Returns a trained model, after training its second stage if the recipe has one."""
    recipe, whole = prepared.recipe, (prepared.model, params)
    if recipe.second_stage is not None:
        whole = recipe.second_stage.train(prepared, recipe.kind.alone(prepared.settings, member), params)
    return TrainedModel(member, *whole, progress.history, course_of(member.seed, progress))
