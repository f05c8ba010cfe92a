"""One run from its settings to a finished folder: training, measurement, figures, report."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.multihost_utils import process_allgather

from vae_jax.params import Params
from vae_jax.runs.fitting.members import train_members
from vae_jax.runs.folder import defined
from vae_jax.runs.machine import device_name, versions
from vae_jax.runs.progress import ProgressDisplay, say
from vae_jax.runs.recipe import Prepared, Trained
from vae_jax.runs.reporting.report import write_outcome
from vae_jax.runs.reporting.summaries import course_of
from vae_jax.training import Progress
from vae_jax.training.distributed import is_writer


def run(prepared: Prepared) -> dict[str, Any]:
    """Trains, measures, draws the figures and writes the report; returns the summary.

    Of several processes the first does what follows the training, on its first device; the others return an empty one.
    """
    try:
        return _run(prepared)
    finally:
        prepared.folder.unlock()


def _run(prepared: Prepared) -> dict[str, Any]:
    recipe, settings, kind = prepared.recipe, prepared.settings, prepared.recipe.kind
    with ProgressDisplay(prepared.length.epochs) as display:
        display.say(kind.opening(prepared))
        training, progress, save = train_members(prepared, display)
        # From the devices of all processes, over which a run of several has its arrays split or copied.
        params = [jax.tree.map(jnp.asarray, process_allgather(one.best_params, tiled=True)) for one in progress]
        fit_after = recipe.fit_after(settings)
        if fit_after is not None:
            params = [fit_after(prepared, best) for best in params]
            save(params)
    if not is_writer():
        return {}
    if not prepared.length.marks:
        say(f"best epoch {', '.join(f'{one.best_epoch} of {len(one.history)}' for one in progress)}")
    models = [_trained(prepared, i, one, best) for i, (one, best) in enumerate(zip(progress, params, strict=True))]
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
    return write_outcome(recipe, settings, prepared.folder, outcome._replace(summary=defined(summary)))


def _trained(prepared: Prepared, index: int, progress: Progress, params: Params) -> Trained:
    """A trained model with its second stage, if the recipe has one."""
    recipe, member = prepared.recipe, prepared.recipe.kind.members(prepared.settings)[index]
    own = recipe.kind.alone(prepared.settings, member)
    whole = prepared.model, params
    if recipe.second_stage is not None:
        whole = recipe.second_stage.train(prepared, own, params)
    return Trained(member, own, *whole, progress.history, course_of(member.seed, progress))
