"""What is exported of a run, with all that tells a stranger what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vae_jax.experiment.loaded import Loaded
from vae_jax.experiment.model_card import NAME, model_card
from vae_jax.export import export
from vae_jax.runs import config_text, defined


def export_run(loaded: Loaded, format: str, folder: Path) -> list[Path]:
    """Writes the model of a run in a format, with config.json, summary.json and MODEL.md beside it.

    A folder of safetensors is opened by `vae_jax.load` as that of a run is, with this one model in it.

    Raises:
      ValueError: as `export` does.
    """
    summary = defined(summary_of(loaded))
    beside = {
        "config.json": config_text(loaded.config, image_shape=loaded.image_shape, num_classes=loaded.num_classes),
        "summary.json": json.dumps(summary, indent=2, allow_nan=False) + "\n",
        NAME: model_card(loaded.title, loaded.description, loaded.config, summary, loaded.command),
    }
    model = loaded.model, loaded.params, loaded.image_shape
    return export(*model, format, folder, loaded.config, beside, loaded.num_classes)


def summary_of(loaded: Loaded) -> dict[str, Any]:
    """The numbers of this model alone, where its run is of several."""
    summary = dict(loaded.summary)
    seed, beta = loaded.settings.seed, getattr(loaded.settings, "betas", (None,))[0]
    own = [m for m in summary.pop("models", []) if m["seed"] == seed and m.get("beta") in (None, beta)]
    for name in ("shown_seed", "by_steps", "over_seeds", "seeds"):
        summary.pop(name, None)
    return summary | (own[0] if own else {})
