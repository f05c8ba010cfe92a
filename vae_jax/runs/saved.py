"""Saved models, for users: `load` and `save`. What they need is imported when they are called."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_jax.params import Params

if TYPE_CHECKING:
    from vae_jax.runs.recipe import Recipe


def load(
    path: str | Path, seed: int | None = None, weight: float | None = None, recipe: Recipe | None = None
) -> tuple[Any, Params, dict[str, Any]]:
    """The trained model of a run folder, or of a folder that was saved or exported of one; none needs its data.

    A run that has not finished gives its best epoch so far, with a warning.

    Args:
      path: the folder.
      seed: seed of the model to load, of a run of several (default: the one that the report shows).
      weight: weight of the model to load, of a run with a grid of weights (default: the first).
      recipe: RECIPE of a script of your own that made the run (default: the recipe of that name). Nothing in the folder
        is executed, so a folder from anyone can be opened.

    Returns:
      The model, its params, and the config that makes this model: recipe and settings, as config.json has them, with
      image_shape `[H, W, C]` and, of a model that is given labels, num_classes.
      The model is a `VAE`; of a run with --condition labels a `Conditional`, whose context is a label from 0 on.

    Raises:
      ValueError: if the folder is not that of a run with a checkpoint, holds no such model, or is damaged.
    """
    from vae_jax.runs.loading import load_run

    loaded = load_run(Path(path), seed, weight, "path", recipe)
    if "unfinished" in loaded.summary:
        warnings.warn(loaded.summary["unfinished"], stacklevel=2)
    return loaded.model, loaded.params, loaded.config | loaded.about


def save(path: str | Path, params: Params, config: Mapping[str, Any], recipe: Recipe | None = None) -> Path:
    """Saves a model with other parameters than its run trained, such as those of a fine-tuning.

    The folder is one that `load`, `push_to_hub` and the commands that use a model open: config.json,
    params.safetensors, MODEL.md, a summary.json without numbers, for the parameters were not measured, and
    manifest.json with the checksum of each. It is written whole or not at all.

    Args:
      path: the folder; a new one, an empty one, or an earlier save or export, which is replaced.
      params: the parameters, buffers too, with the structure, shapes and types of those that `load` returned. A model
        of codes may come without its prior over them: its codes are then uniform.
      config: the configuration that `load` returned.
      recipe: RECIPE of a script of your own that made the run (default: the recipe of that name).

    Returns:
      The folder.

    Raises:
      ValueError: if path is taken by anything else or cannot be made, config describes no model or several, or params
        are not those of its model (the message names the first leaf that differs) or hold numbers that are not finite.
      TypeError: if config is no mapping.
    """
    from vae_jax.runs.share import save_model

    return save_model(Path(path), params, config, recipe)
