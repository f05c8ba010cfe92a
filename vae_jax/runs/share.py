"""Export and saving of a model to its own folder, with its configuration, numbers and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from vae_jax.export import check_can_write, export
from vae_jax.params import Params
from vae_jax.params_file import check_finite, check_params
from vae_jax.runs.config import as_command, title_of
from vae_jax.runs.folder import RunFolder, config_text, defined
from vae_jax.runs.loading import Loaded, recipe_of, without_data
from vae_jax.runs.recipe import Recipe
from vae_jax.runs.reporting.model_card import NAME, model_card
from vae_jax.runs.reporting.summaries import summary_of_model

_SAVED = "changed by a program after the training of the run, and not measured"


class Unwritten(RunFolder):
    """Folder whose config.json is not written yet."""

    def __init__(self, path: Path, config: Mapping[str, Any]):
        super().__init__(path, "config for")
        self._content = json.loads(config_text(config))

    def _checked(self) -> dict[str, Any]:
        return self._content


def export_run(loaded: Loaded, format: str, folder: Path) -> list[Path]:
    """Writes the model of a run in a format, with config.json, summary.json and MODEL.md beside it.

    `vae_jax.load` opens a folder of safetensors like a run folder that holds only this model.

    Raises:
      ValueError: as `export` does.
    """
    summary, recipe = defined(summary_of_model(loaded.summary, loaded.member)), loaded.recipe
    title, command = title_of(recipe, loaded.alone), as_command(recipe, loaded.alone)
    extra_files = {
        "config.json": config_text(loaded.config, **loaded.about),
        "summary.json": json.dumps(summary, indent=2, allow_nan=False) + "\n",
        NAME: model_card(title, recipe.description, loaded.config, summary, command, format),
    }
    model = loaded.model, loaded.params, loaded.image_shape
    return export(*model, format, folder, loaded.config, extra_files, loaded.num_classes)


def save_model(path: Path, params: Params, config: Mapping[str, Any], recipe: Recipe | None) -> Path:
    """Implementation of `vae_jax.save`."""
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be the mapping that vae_jax.load returned, got {type(config).__name__}")
    loaded = _loaded(Unwritten(path, config), params, recipe)
    check_params(params, loaded.model)
    check_finite(params)
    check_can_write(loaded.model, params, loaded.image_shape, "safetensors", path, "path", loaded.num_classes)
    export_run(loaded, "safetensors", path)
    return path


def _loaded(folder: RunFolder, params: Params, recipe: Recipe | None) -> Loaded:
    """Builds the model that a configuration describes, with these parameters and without numbers."""
    recipe = recipe_of(folder, recipe)
    settings, problem = without_data(recipe, folder)
    member, *others = recipe.kind.members(settings)
    if others:
        raise ValueError(
            f"config must describe one model, as vae_jax.load returns it, got a config of {1 + len(others)} models"
        )
    model = recipe.model(settings, problem)
    summary: dict[str, Any] = {"params_note": _SAVED}
    if recipe.second_stage is not None:
        without: Any = jax.tree.structure(jax.eval_shape(model.init, jax.random.key(0)))
        if without == jax.tree.structure(params):
            summary["second_stage"] = False
        else:
            model = recipe.second_stage.whole(settings, model)
    return Loaded(folder, recipe, settings, settings, member, model, params, summary, problem)
