"""Trained models loaded from a run folder, or from an export of a run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.checksums import Damaged
from vae_jax.data import fingerprint
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.params_file import check_finite, load_params
from vae_jax.runs.checks import check_saved
from vae_jax.runs.config import run_config, settings_of_run, to_finish
from vae_jax.runs.fitting.snapshots import load_members, restorable
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.contexts import Contexts
from vae_jax.runs.recipe import Length, Member, PreparedRun, Recipe, TrainedModel, recipe_for, weight_in
from vae_jax.runs.recipes import RECIPES


class Loaded(NamedTuple):
    """A trained model with the settings and the summary of its run."""

    folder: RunFolder
    recipe: Recipe
    settings: Any  # settings of the whole run
    alone: Any  # settings that train this model alone
    member: Member
    model: Any  # a VAE, or a Conditional of labels or masks
    params: Params
    summary: Mapping[str, Any]  # of the run; an unfinished run has a text about its progress under "unfinished"
    problem: Any  # problem without data, from which the model was built

    @property
    def config(self) -> dict[str, Any]:
        """Configuration that trains this model alone."""
        return run_config(self.recipe, self.alone)

    @property
    def about(self) -> dict[str, Any]:
        """JSON-like facts that are needed, beside the configuration, to build the model without its data."""
        return dict(self.problem.facts)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (H, W, C) of the images of the model; () for a model of a table."""
        return tuple(self.problem.image_shape)

    @property
    def contexts(self) -> Contexts:
        """Side information that the model takes with each image."""
        found: Contexts = self.problem.contexts
        return found

    @property
    def num_classes(self) -> int | None:
        """Number of labels of a `Conditional` of labels; None if the model takes no labels."""
        number: int | None = self.problem.num_classes
        return number


class ShownImages(NamedTuple):
    """Test images before and after the preprocessing of the model."""

    pixels: np.ndarray  # uint8 [N, H, W, C]
    xs: jax.Array  # float32 [N, H, W, C], preprocessed
    labels: np.ndarray | None  # [N]
    masks: np.ndarray | None = None  # bool [N, H, W, C], False for missing pixels; None if the model takes none


def load_run(
    path: Path,
    seed: int | None = None,
    weight: float | None = None,
    argument: str = "RUN",
    recipe: Recipe | None = None,
) -> Loaded:
    """Loads a trained model from a run folder, or from an export of a run.

    Args:
      seed: seed of the model, if the run has several; None: the model that the report shows, or the first if the run
        has a grid of weights or is unfinished.
      weight: weight of the model, if the run has a grid of weights; None: the first.
      argument: name of the argument that gave the folder, for messages.
      recipe: RECIPE of the user's own script that made the run; None: the recipe that config.json names.

    Raises:
      ValueError: if the folder holds no run with a checkpoint, or no such model.
    """
    folder = RunFolder(path, argument)
    recipe = recipe_of(folder, recipe)
    summary = summary_so_far(folder)
    if not folder.has_checkpoint() and not folder.params.exists():
        raise ValueError(
            f"{argument} {path} holds no checkpoint (in {folder.checkpoints}) and so no parameters; finish it with: "
            f"{to_finish(recipe, path)}"
        )
    settings, problem = without_data(recipe, folder)
    model = recipe.model(settings, problem)
    members = recipe.kind.members(settings)
    if not members:
        raise ValueError(f"{folder}: config.json must hold the weights that the run was trained with, got none")
    member = _chosen(folder, members, summary, seed, weight)
    own = recipe.kind.alone(settings, member)
    if folder.params.exists():
        # A run that was exported before its second stage has no parameters of the prior.
        if recipe.second_stage is not None and summary.get("second_stage") is not False:
            model = recipe.second_stage.whole(own, model)
        params = exported_params(folder, model)
    else:
        if getattr(settings, "batch_size", 0) is None:
            raise ValueError(
                f"{folder}: config.json: batch_size must be the number that the run was trained with, got null"
            )
        length = recipe.kind.length(settings)
        of_all = load_members(recipe, settings, model, folder, length, "unfinished" in summary)
        params = of_all[members.index(member)]
        if recipe.second_stage is not None:
            # If the run stopped in its first stage, the model has no learned prior: codes are uniform.
            if "unfinished" not in summary or recipe.second_stage.begun(folder, own):
                try:
                    params = recipe.second_stage.load(folder, own, model, params)
                except Damaged as error:
                    raise restorable(recipe, folder, error) from error
                model = recipe.second_stage.whole(own, model)
            else:
                summary["second_stage"] = False
    return Loaded(folder, recipe, settings, own, member, model, params, summary, problem)


def without_data(recipe: Recipe, folder: RunFolder) -> tuple[Any, Any]:
    """Settings of the run in a folder, and a problem without data from which its model can be built.

    Raises:
      ValueError: if config.json does not describe a run of the recipe.
    """
    settings = settings_of_run(recipe, dataclasses.replace(recipe.defaults, run_dir=folder.path), folder)
    check_saved(recipe, settings, f"{folder}: config.json")
    return settings, recipe.kind.without_data(settings, folder)


def open_run(
    path: Path,
    data_dir: str | None = None,
    seed: int | None = None,
    weight: float | None = None,
    recipe: Recipe | None = None,
) -> tuple[PreparedRun, TrainedModel]:
    """Opens a run with its data, and one of its models (with the parameters of its best epoch so far).

    Raises:
      ValueError: if the folder holds no run with a checkpoint, its recipe is unknown, or its data cannot be loaded or
        have changed.
    """
    loaded = load_run(path, seed, weight, "RUN", recipe)
    folder, recipe, member = loaded.folder, loaded.recipe, loaded.member
    folder.check_no_export()
    is_own = lambda row: row.get("seed", member.seed) == member.seed and weight_in(row) in (None, member.weight)
    history = [row for row in folder.metrics() if is_own(row)]
    if not history:
        raise ValueError(
            f"RUN {path} has no metrics.jsonl with rows of its model, which the report needs: give a whole run folder"
        )
    settings, data = data_of(loaded, data_dir)
    problem = recipe.kind.problem(settings, data, folder)
    tested = f"test_{recipe.kind.example}s"
    expected, found = loaded.summary.get(tested), getattr(problem, "num_test", 0)
    if expected not in (None, found):
        raise ValueError(
            f"RUN {path} was measured on {expected} {tested.replace('_', ' ')}, but --data {settings.data} now has "
            f"{found}: give it the data that it was made with"
        )
    length: Length = recipe.kind.length(settings)
    prepared = PreparedRun(recipe, settings, folder, data, problem, loaded.model, length, 0, None, time.monotonic())
    return prepared, TrainedModel(member, loaded.model, loaded.params, tuple(history), {})


def data_of(loaded: Loaded, data_dir: str | None = None) -> tuple[Any, Any]:
    """Settings of a run with this `data_dir`, and the data of the run.

    Raises:
      ValueError: if the data cannot be loaded, or have changed since the run.
    """
    settings, folder = dataclasses.replace(loaded.settings, data_dir=data_dir), loaded.folder
    try:
        data = loaded.recipe.kind.load(settings)
    except ValueError as error:
        raise ValueError(
            f"{folder} was made with --data {settings.data}, which cannot be loaded here: {error}"
        ) from error
    folder.check_data(fingerprint(data), settings.data)
    return settings, data


def images_of(loaded: Loaded, data_dir: str | None = None) -> ShownImages:
    """Test images of the run's data; for rendered data some of all images, labeled by their first factor.

    Raises:
      ValueError: if the data cannot be loaded, or have changed since the run.
    """
    settings, data = data_of(loaded, data_dir)
    return ShownImages(*loaded.recipe.kind.show(settings, data))


def preprocessing(loaded: Loaded) -> Callable[[jax.Array, ArrayLike], jax.Array]:
    """Preprocessing of images for the run's model, (key, uint8) -> float32; bits and noise are drawn with the key."""
    return loaded.recipe.kind.without_data(loaded.settings, loaded.folder).prepare_raw


def preprocessed(loaded: Loaded, pixels: np.ndarray) -> jax.Array:
    """Inputs of the run's model for uint8 pixels `[N, H, W, C]`, always with the same draw of bits or noise."""
    return preprocessing(loaded)(jax.random.key(0), jnp.asarray(pixels))


def exported_params(folder: RunFolder, model: Model) -> Params:
    """Parameters of a model that was exported to the folder as safetensors."""
    from vae_jax.export import verify  # the only place where its packages are needed

    try:
        verify(folder.path)
        params = load_params(folder.params, model)
        check_finite(params)
        return params
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def summary_so_far(folder: RunFolder) -> dict[str, Any]:
    """Summary of a run or an export; for an unfinished run, a text about its progress under "unfinished".

    Raises:
      ValueError: the export is one that vae_jax does not read.
    """
    if (format := folder.export_format()) and not folder.params.exists():
        raise ValueError(
            f"{folder}: an export as {format} holds no parameters that vae_jax can read; give the run folder, or "
            "export the run as safetensors"
        )
    summary = folder.summary()
    if summary is not None:
        models = summary.get("models", [])
        if not (isinstance(models, list) and all(isinstance(model, dict) and "seed" in model for model in models)):
            raise ValueError(f"{folder}: summary.json must hold a list of models, each with its seed")
        return summary
    epochs = max((row["epoch"] for row in folder.metrics()), default=0)
    return {"unfinished": f"{folder} has not finished: its best epoch of the {epochs} so far is used"}


def checked_summary(folder: RunFolder) -> dict[str, Any]:
    """Summary of a finished run, or of a model that was exported from a finished run.

    Raises:
      ValueError: if the run has not finished, or the export is one that vae_jax does not read.
    """
    summary = summary_so_far(folder)
    if "unfinished" in summary:
        raise ValueError(
            f"{folder} has not finished (it has no summary.json); finish it with: "
            f"{to_finish(recipe_of(folder), folder.path)}"
        )
    return summary


def _chosen(
    folder: RunFolder, members: list[Member], summary: Mapping[str, Any], seed: int | None, weight: float | None
) -> Member:
    """First model with this seed and weight; without both, the model of "shown_seed" in the summary, if it is there."""
    if weight is not None and members[0].weight is None:
        raise ValueError(
            f"--weight chooses a model of a run with a grid of weights, and {folder} has no such grid: leave it out"
        )
    if seed is None and weight is None:
        return next((m for m in members if m.seed == summary.get("shown_seed")), members[0])
    fitting = [m for m in members if seed in (None, m.seed) and weight in (None, m.weight)]
    if fitting:
        return fitting[0]
    if members[0].weight is None:
        raise ValueError(
            f"--seed must be one of the seeds of {folder} ({', '.join(str(m.seed) for m in members)}), got {seed}"
        )
    have = ", ".join(f"weight {m.weight:g} seed {m.seed}" for m in members)
    asked = " and ".join(f"--{name} {v}" for name, v in (("seed", seed), ("weight", weight)) if v is not None)
    raise ValueError(f"{folder} has no model with {asked}: its models have {have}")


def recipe_of(folder: RunFolder, recipe: Recipe | None = None) -> Recipe:
    """Recipe that config.json names; if a recipe is given, it must be that one.

    config.json only chooses among known recipes: nothing in the folder is executed.
    """
    config = folder.config()
    name = config.get("experiment")
    if recipe is not None and recipe.name != name:
        raise ValueError(f"{folder} was made by the recipe {name}, not by {recipe.name}")
    if not isinstance(name, str):
        raise ValueError(f'{folder}: config.json must name the recipe of the run as its "experiment"')
    found = recipe or RECIPES.get(name)
    if found is None:
        raise ValueError(
            f"{folder} was made by {name}, which is not a recipe of vae_jax ({', '.join(RECIPES)}); load a run of your "
            "own script with vae_jax.load(path, recipe=RECIPE)"
        )
    return recipe_for(found, config.get("data"))
