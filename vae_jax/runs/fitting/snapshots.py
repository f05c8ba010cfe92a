"""Parameters of a run's models in its folder: of the best epochs, and of each mark."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.checksums import Damaged
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.runs.config import run_config, to_finish, upgraded
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.keys import keys_of
from vae_jax.runs.progress import ProgressDisplay, say
from vae_jax.runs.recipe import Length, PreparedRun, Recipe
from vae_jax.training import EnsembleProgress, evaluated_params
from vae_jax.training.checkpoints import OrbaxCheckpoints, check_intact, load_best, newest


def snapshot(folder: RunFolder, length: Length, mark: int) -> Path:
    """Folder of the parameters at a mark."""
    return folder.path / "snapshots" / f"step-{length.steps_at(mark)}"


def keep(
    prepared: PreparedRun, mark: int, progress: EnsembleProgress, evaluated: Any, display: ProgressDisplay
) -> None:
    """Saves the current parameters at a mark, unless they are saved already.

    A lost snapshot cannot be made again once training has passed it. If all models have diverged, training has ended
    before the mark.
    """
    path = snapshot(prepared.folder, prepared.length, mark)
    if is_whole(path):
        return
    if max(map(len, progress.history)) > mark:
        display.say(f"{path} is damaged or missing, and cannot be made again, because training has passed it")
        return
    recipe, settings = prepared.recipe, prepared.settings
    key = keys_of(recipe.kind.members(settings)[0].seed).training
    last = progress._replace(best_params=jax.vmap(partial(evaluated_params, evaluated))(progress.state))
    OrbaxCheckpoints(path, key, run_config(recipe, settings)).save(last)


def is_whole(path: Path) -> bool:
    """Returns whether a snapshot is complete and undamaged."""
    saved = newest(path)
    try:
        if saved is not None:
            check_intact(saved, ("last", "best", "progress"))
    except Damaged:
        return False
    return saved is not None


def load_members(
    recipe: Recipe, settings: Any, model: Model, folder: RunFolder, length: Length, unfinished: bool = False
) -> list[Params]:
    """Loads the parameters of every model of a run: of the last mark, or of the best epochs if there are no marks.

    Raises:
      Damaged: the parameters are damaged.
      ValueError: nothing has been saved yet, or the parameters belong to another model or other settings.
    """
    path = folder.checkpoints
    if length.marks:
        path = snapshot(folder, length, length.marks[-1])
        if unfinished:
            path = _latest(folder, length)
    return load_from(path, recipe, settings, model, folder)


def _latest(folder: RunFolder, length: Length) -> Path:
    """Folder of the last undamaged snapshot of an unfinished run, or of its checkpoints if there is none."""
    for path in (snapshot(folder, length, mark) for mark in reversed(length.marks)):
        if is_whole(path):
            return path
        if newest(path) is not None:
            say(f"{path} is damaged: an earlier state is used")
    return folder.checkpoints


def load_from(path: Path, recipe: Recipe, settings: Any, model: Model, folder: RunFolder) -> list[Params]:
    """Loads the parameters of every model from one folder; raises errors as `load_members` does."""
    if newest(path) is None:
        raise Damaged(f"{folder}: {path} holds no parameters")
    members = recipe.kind.members(settings)
    keys = jnp.stack([keys_of(member.seed).training for member in members])
    of_one = len(members) == 1 and members[0].weight is None
    like = jax.eval_shape(model.init, keys[0]) if of_one else jax.eval_shape(jax.vmap(model.init), keys)
    try:
        # The settings of scores may differ from those of the run.
        own = upgraded(recipe, folder.config())
        stacked = load_best(path, like, own, recipe.kind.changeable(settings), partial(upgraded, recipe))
    except Damaged as error:
        raise restorable(recipe, folder, error) from error
    except ValueError as error:
        raise ValueError(
            f"{folder}: the checkpoint does not hold the model that config.json describes ({error}); put back the "
            "files that belong together, or use the version of vae_jax that made the run"
        ) from error
    return [stacked] if of_one else [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(members))]


def restorable(recipe: Recipe, folder: RunFolder, error: Damaged) -> Damaged:
    """Error with the command that trains the damaged part again."""
    return Damaged(f"{folder}: {error}; train it again from the last checkpoint with: {to_finish(recipe, folder.path)}")
