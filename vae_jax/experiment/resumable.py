"""Training in a run folder: begun there, continued from its last checkpoint, or found finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.models.vae import VAE
from vae_jax.objectives import Objective
from vae_jax.runs import RunFolder
from vae_jax.training import History, Progress, fit
from vae_jax.training.checkpoints import OrbaxCheckpoints


class Training(NamedTuple):
    """What `train_in_folder` leaves."""

    progress: Progress
    checkpoints: OrbaxCheckpoints
    seconds: Callable[[], float]  # that the run has taken by now, over all processes that worked on it


def train_in_folder(
    folder: RunFolder,
    config: Mapping[str, Any],
    display: ProgressDisplay,
    model: VAE,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    train: np.ndarray,
    validation: np.ndarray,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    patience: int | None,
    started: float,
) -> Training:
    """`fit`, with its checkpoints and `metrics.jsonl` in the folder; the same call again goes on where it stopped.

    Args:
      folder: of this run; it holds the configuration already.
      config: JSON-like, saved in the checkpoints.
      display: shows every epoch.
      model, objective, optimizer, train, validation, key, epochs, batch_size, patience: as `fit` takes them.
      started: `time.monotonic()` when this process began to work on the run.
    """
    rows = folder.metrics()
    spent = rows[-1]["seconds"] if rows else 0.0

    def seconds() -> float:
        return round(spent + time.monotonic() - started, 2)

    def on_epoch(history: History) -> None:
        # Epochs after the last checkpoint are done again, in the same bits.
        rows[len(history) - 1 :] = [history[-1] | {"seconds": seconds()}]
        folder.write_metrics(rows)
        display.show(history[-1])

    checkpoints = OrbaxCheckpoints(folder.checkpoints, key, config)
    progress = fit(
        model,
        objective,
        optimizer,
        train,
        validation,
        key,
        epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )
    return Training(progress, checkpoints, seconds)
