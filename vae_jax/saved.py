"""Models out of their folders. What this needs is imported when it is called: `import vae_jax` reads no files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_jax.params import Params

if TYPE_CHECKING:
    from vae_jax.experiment.method import Method


def load(
    path: str | Path, seed: int | None = None, beta: float | None = None, method: Method | None = None
) -> tuple[Any, Params, dict[str, Any]]:
    """The trained model of a run folder, or of a folder that was exported of one; neither needs its data.

    A run that has not finished gives its best epoch so far, with a warning.

    Args:
      path: the folder.
      seed: of a run of several models, the one to load; None: the one that the report shows.
      beta: of a disentanglement run, the weight of the model to load; None: the first.
      method: METHOD of a script of your own that made the run; None: the recipe of that name. Nothing in the folder is
        executed, so a folder from anyone can be opened.

    Returns:
      The model, its params, and the config that makes this model: experiment and settings, as config.json has them.
      The model is a `VAE`; of a run with --condition labels a `Conditional`, whose context is a label from 0 on.

    Raises:
      ValueError: if the folder is not that of a run with a checkpoint, holds no such model, or is damaged.
    """
    from vae_jax.experiment.load import load_run

    loaded = load_run(Path(path), seed, beta, "path", method)
    if "unfinished" in loaded.summary:
        warnings.warn(loaded.summary["unfinished"], stacklevel=2)
    return loaded.model, loaded.params, loaded.config
