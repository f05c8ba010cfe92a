"""Functions `load` and `save` for trained models. Their imports are made when they are called."""

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
    """Loads a trained model from a run folder, or from a saved or exported model. The data of the run is not needed.

    For an unfinished run, the parameters of its best epoch so far are loaded, with a warning.

    Args:
      path: the folder.
      seed: seed of the model, if the run has several (default: the model that the report shows; in a run with a grid
        of weights, or an unfinished run, the first).
      weight: weight of the model, if the run has a grid of weights (default: the first).
      recipe: RECIPE of your own script that made the run (default: the recipe that config.json names). Nothing in the
        folder is executed, so a folder from anyone can be opened.

    Returns:
      The model, its params, and its config: recipe and settings as in config.json, with image_shape `[H, W, C]`
      and, for a model that takes labels, num_classes; for a model of a table with table, the encoding of its columns,
      which `data.Encoding.from_json` reads.
      The model is a `VAE`, or for a run with --condition labels a `Conditional`, whose context is a label from 0 on;
      for one with missing pixels, a mask `[H, W, C]`.

    Raises:
      ValueError: if the folder holds no run with a checkpoint or no such model, or is damaged.
    """
    from vae_jax.runs.loading import load_run

    loaded = load_run(Path(path), seed, weight, "path", recipe)
    if "unfinished" in loaded.summary:
        warnings.warn(loaded.summary["unfinished"], stacklevel=2)
    return loaded.model, loaded.params, loaded.config | loaded.about


def save(path: str | Path, params: Params, config: Mapping[str, Any], recipe: Recipe | None = None) -> Path:
    """Saves a model with new parameters, such as those of a fine-tuning.

    `load`, `push_to_hub` and the commands that use a model can open the folder. It holds config.json,
    params.safetensors, MODEL.md, a summary.json without numbers (the new parameters were not measured), and
    manifest.json with the checksum of each. It is written completely or not at all.

    Args:
      path: folder to write: a new one, an empty one, or an earlier save or export, which is replaced.
      params: parameters and buffers, with the structure, shapes and types of those that `load` returned. Those of a
        VQ-VAE may lack its prior over the codes: the codes then have a uniform prior.
      config: configuration that `load` returned.
      recipe: RECIPE of your own script that made the run (default: the recipe that config names).

    Returns:
      The folder.

    Raises:
      ValueError: if path holds something else or cannot be made, config describes no model or several, or params do
        not fit the model (the message names the first leaf that differs) or hold numbers that are not finite.
      TypeError: if config is not a mapping.
    """
    from vae_jax.runs.share import save_model

    return save_model(Path(path), params, config, recipe)
