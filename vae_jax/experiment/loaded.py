"""A trained model out of its folder, without its data: of a run, or of what was exported of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from vae_jax.checksums import Damaged
from vae_jax.experiment.method import Method, check_condition
from vae_jax.experiment.problem import num_classes_of, without_data
from vae_jax.experiment.recipes import RECIPES
from vae_jax.experiment.settings import Settings, as_command, changeable, run_config, settings_of_run, to_finish
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.runs import RunFolder
from vae_jax.training.checkpoints import load_best


class Loaded(NamedTuple):
    """One trained model."""

    folder: RunFolder
    title: str  # of its method
    description: str  # the same in a sentence
    command: str  # that trains this model alone again
    config: dict[str, Any]  # that makes this model alone
    model: Model
    params: Params
    image_shape: tuple[int, ...]  # (H, W, C)
    settings: Any  # of this model alone; of the experiment's class
    summary: Mapping[str, Any]  # of the run; with "unfinished", how far it has come, if it has not finished
    num_classes: int | None = None  # of the labels of a Conditional; None: the model is given none


def load_method_run(folder: RunFolder, seed: int | None = None, method: Method | None = None) -> tuple[Method, Loaded]:
    """The model of a recipe's run as it was when its training ended, with the parameters of its best epoch.

    Of a run of several models it is the one of that seed, or of the seed that the report shows. A run of a script of
    the user's own needs that script's method.

    Raises:
      ValueError: if the folder is not that of a run with a checkpoint, or its experiment is not found.
    """
    config = folder.config()
    method = method_of(folder, config.get("experiment"), method)
    summary = summary_so_far(folder)
    if not folder.has_checkpoint() and not folder.params.exists():
        raise ValueError(
            f"{folder.argument} {folder.path} holds no checkpoint (in {folder.checkpoints}), so no parameters; "
            f"finish it with: {to_finish(method.name, folder.path)}"
        )
    settings = settings_of_run(method.name, dataclasses.replace(method.defaults, run_dir=folder.path), folder)
    image_shape = folder.image_shape()
    check_condition(method, settings, f"{folder.argument} {folder.path}: config.json: condition")
    num_classes = None if settings.condition == "none" else num_classes_of(folder)
    model = method.model(settings, without_data(settings, image_shape, num_classes))
    index = _index_of_model(folder, settings, summary, seed)
    own = dataclasses.replace(settings, seed=settings.seed + index, seeds=1)
    shape = image_shape, num_classes
    if folder.params.exists():
        # A run that was exported before its second stage has no prior to read.
        second_stage = None if summary.get("second_stage") is False else method.second_stage
        whole = model if second_stage is None else second_stage.whole(own, model)
        params = exported_params(folder, whole)
        return method, _loaded(folder, method, own, whole, params, shape, summary)
    like = jax.eval_shape(model.init, jax.random.key(0))
    if settings.seeds > 1:
        like = jax.eval_shape(jax.vmap(model.init), jax.random.split(jax.random.key(0), settings.seeds))
    try:
        params = load_best(folder.checkpoints, like, run_config(method.name, settings), changeable(settings))
    except Damaged as error:
        raise _restorable(folder, method.name, error) from error
    except ValueError as error:
        raise ValueError(
            f"{folder.argument} {folder.path}: its checkpoint does not hold the model that config.json describes "
            f"({error}); use those that belong to one another, and the version of vae_jax that the run was made with"
        ) from error
    if settings.seeds > 1:
        params = jax.tree.map(lambda leaf: leaf[index], params)
    if method.second_stage is not None:
        # If the run stopped in its first stage, the model has no learned prior: codes are uniform.
        if "unfinished" not in summary or method.second_stage.begun(folder, own):
            try:
                params = method.second_stage.load(folder, own, model, params)
            except Damaged as error:
                raise _restorable(folder, method.name, error) from error
            model = method.second_stage.whole(own, model)
        else:
            summary["second_stage"] = False
    return method, _loaded(folder, method, own, model, params, shape, summary)


def _restorable(folder: RunFolder, experiment: str, error: Damaged) -> Damaged:
    return Damaged(
        f"{folder.argument} {folder.path}: {error}; train it again from the checkpoint before with: "
        f"{to_finish(experiment, folder.path)}"
    )


def _loaded(
    folder: RunFolder,
    method: Method,
    own: Settings,
    model: Model,
    params: Params,
    shape: tuple[tuple[int, ...], int | None],  # of an image, and of its label
    summary: Mapping[str, Any],
) -> Loaded:
    image_shape, num_classes = shape
    return Loaded(
        folder,
        method.title,
        method.description,
        as_command(method.name, own),
        run_config(method.name, own),
        model,
        params,
        image_shape,
        own,
        summary,
        num_classes,
    )


def exported_params(folder: RunFolder, model: Model) -> Params:
    """The parameters of a model that was exported to the folder as safetensors."""
    from vae_jax.export import read_params, verify  # only here is its package needed

    try:
        verify(folder.path)
        return read_params(model, folder.params)
    except ValueError as error:
        raise ValueError(f"{folder.argument} {folder.path}: {error}") from error


def summary_so_far(folder: RunFolder) -> dict[str, Any]:
    """The summary of a run or an export; of a run that has not finished, how far it has come as "unfinished".

    Raises:
      ValueError: the export is one that vae_jax does not read.
    """
    if (format := folder.export_format()) and not folder.params.exists():
        raise ValueError(
            f"{folder.argument} {folder.path}: an export as {format} holds no parameters that vae_jax reads; give its "
            "run, or export it as safetensors"
        )
    summary = folder.summary()
    if summary is not None:
        models = summary.get("models", [])
        if not (isinstance(models, list) and all(isinstance(model, dict) and "seed" in model for model in models)):
            raise ValueError(f"{folder.argument} {folder.path}: summary.json must hold the seed of each of its models")
        return summary
    epochs = max((row["epoch"] for row in folder.metrics()), default=0)
    return {
        "unfinished": f"{folder.argument} {folder.path} has not finished: this is its best epoch of {epochs} so far"
    }


def checked_summary(folder: RunFolder, experiment: str) -> dict[str, Any]:
    """The summary of a finished run, or of a model that was exported of one.

    Raises:
      ValueError: if the run has not finished, or the export is one that vae_jax does not read.
    """
    summary = summary_so_far(folder)
    if "unfinished" in summary:
        raise ValueError(
            f"{folder.argument} {folder.path} has not finished (it has no summary.json); finish it with: "
            f"{to_finish(experiment, folder.path)}"
        )
    return summary


def _index_of_model(folder: RunFolder, settings: Settings, summary: Mapping[str, Any], seed: int | None) -> int:
    seeds = range(settings.seed, settings.seed + settings.seeds)
    if seed is None:
        return seeds.index(summary.get("shown_seed", settings.seed))
    if seed not in seeds:
        raise ValueError(
            f"--seed must be one of the seeds of {folder.argument} {folder.path}, {', '.join(map(str, seeds))}, got "
            f"{seed}"
        )
    return seeds.index(seed)


def method_of(folder: RunFolder, name: Any, method: Method | None = None) -> Method:
    """The recipe of that name; or the given method, if it is the one that config.json names.

    What config.json says chooses among these and runs nothing: a folder from elsewhere is data.
    """
    if method is not None and method.name != name:
        raise ValueError(f"{folder.argument} {folder.path} was made by experiment {name!r}, not by {method.name!r}")
    found = method or (RECIPES.get(name) if isinstance(name, str) else None)
    if found is None:
        raise ValueError(
            f"{folder.argument} {folder.path} was made by experiment {name!r}, which is not a recipe of vae_jax "
            f"({', '.join(RECIPES)}); a run of your own script is loaded with vae_jax.load(path, method=METHOD)"
        )
    return found
