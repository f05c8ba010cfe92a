"""Preparation of a run: checks of its settings, data, model, and the run folder."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from vae_jax.data import fingerprint
from vae_jax.objectives import is_mean_over_examples
from vae_jax.runs.checks import check_choices, check_settings, with_defaults
from vae_jax.runs.choices.loggers import check_logger
from vae_jax.runs.config import run_config, upgraded
from vae_jax.runs.fitting.resume import (
    check_can_continue,
    check_versions,
    epochs_to_train,
    forget_the_end,
    say_if_elsewhere,
)
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.limits import MOST_ROWS
from vae_jax.runs.machine import check_fits, device_name, versions
from vae_jax.runs.processes import check_same, mesh_of
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import PreparedRun, Recipe, recipe_for
from vae_jax.runs.settings import Training
from vae_jax.training import steps_per_epoch
from vae_jax.training.distributed import from_writer, is_writer


def prepare(recipe: Recipe, settings: Any) -> PreparedRun:
    """Loads the data, builds the model, checks everything that can be checked, and then makes the run folder.

    Raises:
      ValueError, TypeError: if a setting, the data or the run folder is unfit; nothing is written.
    """
    started = time.monotonic()
    recipe = recipe_for(recipe, settings.data)
    check_settings(recipe, settings)
    check_logger(settings.log)
    name = recipe.kind.default_name(settings, datetime.now().strftime("%Y%m%d-%H%M%S"))
    default_path = Path("runs") / f"{recipe.name}-{name}"
    folder = RunFolder(Path(from_writer(str(settings.run_dir or default_path))))
    if is_writer():
        folder.lock() if settings.resume else folder.check_new()
    try:
        return _prepare_in(folder, recipe, settings, started)
    except BaseException:
        folder.unlock()
        raise


def _prepare_in(folder: RunFolder, recipe: Recipe, settings: Any, started: float) -> PreparedRun:
    kind = recipe.kind
    data = kind.load(settings)
    given, settings = settings, kind.resolve(with_defaults(recipe, settings), data)
    check_choices(recipe, settings)  # now with the choices that were left to the data
    check_same(run_config(recipe, settings) | versions())
    mesh = mesh_of(settings)
    about: dict[str, Any] = {
        "data_fingerprint": fingerprint(data),
        "versions": versions(),
        "device": device_name() if mesh is None else f"{mesh.size} devices: {device_name()}",
    }
    trains_on = False
    if settings.resume:
        check_can_continue(folder)
        changeable = kind.changeable(settings)
        if isinstance(settings, Training):
            epochs = epochs_to_train(folder, settings.epochs, settings.patience, "epochs" in changeable)
            settings, trains_on = dataclasses.replace(settings, epochs=epochs.number), epochs.trains_on
        folder.check_same(run_config(recipe, settings), changeable, lambda config: upgraded(recipe, config))
        folder.check_data(about["data_fingerprint"], settings.data)
        check_versions(folder, settings.accept_versions)
        if is_writer():
            say_if_elsewhere(folder, about["device"])
    problem = kind.problem(settings, data, folder if settings.resume else None)
    about |= problem.facts
    length = kind.length(settings)
    members = kind.members(settings)
    if (rows := length.epochs * len(members)) > MOST_ROWS:
        flag = "epochs" if isinstance(settings, Training) else "steps"
        raise ValueError(
            f"--{flag} must give at most {MOST_ROWS:,} rows of metrics, got {getattr(settings, flag)} with {rows:,}: "
            "give a smaller or rounder number, or fewer --seeds"
        )
    model = recipe.model(settings, problem)
    whole = model if recipe.second_stage is None else recipe.second_stage.whole(settings, model)
    num_steps = length.epochs * (length.steps_per_epoch or steps_per_epoch(problem.num_examples, length.batch_size))
    optimizer = recipe.optimizer(settings, num_steps).transformation
    check_fits(whole.init, optimizer, len(members), "the sizes of the networks and the number of models")
    objective = recipe.objective(settings, problem, model, num_steps, members[0].weight)
    if length.microbatches > 1 and not is_mean_over_examples(objective):
        raise ValueError(
            f"--microbatches must be 1 for this objective, which needs the batch as a whole, got {length.microbatches}"
        )
    if is_writer():
        if isinstance(given, Training) and given.batch_size is None and length.batch_size < given.default_batch_size:
            size, default = length.batch_size, given.default_batch_size
            say(f"--batch-size is {size}, because there are fewer than {default} training images")
        if not settings.resume:
            folder.create(run_config(recipe, settings), **about)
        else:
            if trains_on:
                forget_the_end(folder)
            folder.keep_config(run_config(recipe, settings), about)
    from_writer(True)  # the other processes wait here before they read the folder
    return PreparedRun(recipe, settings, folder, data, problem, model, length, num_steps, mesh, started)
