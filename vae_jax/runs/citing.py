"""Public functions of vae_jax that a run uses according to its configuration, and whose sources it cites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vae_jax.data import _digits as digits
from vae_jax.data import _dsprites as dsprites
from vae_jax.data import _squares as squares
from vae_jax.data import sprites
from vae_jax.evaluation import importance_sampling
from vae_jax.models import conditional, with_missing
from vae_jax.networks import in_precision, rematerialized
from vae_jax.quantizers import k_means
from vae_jax.runs.config import upgraded
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.loading import recipe_of

# (field, value) -> function or module that a run with this value uses; only data sets of this library are listed.
_OTHERS: dict[tuple[str, Any], Any] = {
    ("data", "digits"): digits.load_digits,
    ("data", "mnist"): digits.load_digits,
    ("data", "sprites"): sprites.render,
    ("data", "sprites_color"): sprites.render,
    ("data", "sprites_noisy"): sprites.render,
    ("data", "squares"): squares,
    ("data", "dsprites"): dsprites.load_dsprites,
    ("condition", "labels"): conditional,
    ("precision", "bfloat16"): in_precision,
    ("rematerialize", True): rematerialized,
}
# Field -> function that the run uses if the number in the field is above 0.
_COUNTS: dict[str, Any] = {"k_means_images": k_means, "nll_samples": importance_sampling}


def used_by_run(path: Path) -> tuple[Any, ...]:
    """Functions, classes and modules of vae_jax that the run in a folder uses.

    Raises:
      ValueError: if the folder holds no run, or its recipe is unknown to this version.
    """
    folder = RunFolder(path, "the run")
    recipe, summary = recipe_of(folder), folder.summary() or {}
    config = upgraded(recipe, folder.config())
    # The likelihood may have been measured after the training.
    config |= {name: summary[name] for name in _COUNTS if name in summary}
    used = list(recipe.cites)
    for axis in recipe.axes:
        value = config.get(axis.setting)
        if value in axis.names:
            used += axis[value].cites
    used += [part for (field, value), part in _OTHERS.items() if config.get(field) == value]
    used += [part for field, part in _COUNTS.items() if isinstance(config.get(field), int) and config[field] > 0]
    used += [with_missing] if config.get("missing") or config.get("mask_file") else []
    return tuple(used)
