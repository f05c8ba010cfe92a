"""The models of a run trained at once, with a copy of their parameters after every number of steps to be scored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.checksums import Damaged
from vae_jax.data import FactorData
from vae_jax.experiment.disentanglement.methods import make_examples, make_model, make_objective, make_optimizer
from vae_jax.experiment.disentanglement.settings import (
    DisentangleSettings,
    config_of,
    members_of,
    scored_steps,
    steps_at_once,
)
from vae_jax.experiment.loggers import LOGGERS
from vae_jax.experiment.progress import ProgressDisplay, say
from vae_jax.experiment.resumable import Training, train_in_folder
from vae_jax.models._model import VAE
from vae_jax.params import Params
from vae_jax.runs import RunFolder
from vae_jax.training import EnsembleProgress, Examples, History, Row, fit_ensemble
from vae_jax.training.checkpoints import OrbaxCheckpoints, check_whole, load_best, newest

_VALIDATION_BATCHES = 4
_VALIDATION = 1  # folded into a key


class Keys(NamedTuple):
    """Of everything random in a run."""

    training: jax.Array  # [M], one a model
    scoring: jax.Array  # the same images for all models
    figures: jax.Array


def keys_of(settings: DisentangleSettings) -> Keys:
    of_seed = lambda seed: jax.random.split(jax.random.key(seed), 3)
    training = jnp.stack([of_seed(member.seed)[0] for member in members_of(settings)])
    return Keys(training, *of_seed(settings.seed)[1:])


def draw_validation(settings: DisentangleSettings, examples: Examples) -> jax.Array:
    """Examples that all models are validated on, the same after every epoch."""
    indices_key, at_key = jax.random.split(jax.random.fold_in(keys_of(settings).scoring, _VALIDATION))
    count = min(_VALIDATION_BATCHES * settings.batch_size, examples.count)
    indices = jax.random.choice(indices_key, examples.count, (count,), replace=False)
    return jax.jit(examples.at)(examples.data, at_key, indices)


def snapshot(folder: RunFolder, steps: int) -> Path:
    """Where the parameters after so many steps lie."""
    return folder.checkpoints.with_name("snapshots") / f"step-{steps}"


def train(
    settings: DisentangleSettings, data: FactorData, folder: RunFolder, display: ProgressDisplay
) -> Training[EnsembleProgress]:
    """Trains to the end, or from the last checkpoint on, and leaves a snapshot after every number of scored steps."""
    model, members, keys = make_model(settings, data.image_shape), members_of(settings), keys_of(settings).training
    config, chunk, log = config_of(settings), steps_at_once(settings), LOGGERS[settings.log]
    optimizer = make_optimizer(settings)
    setup = lambda weight: (make_objective(settings, data, weight), optimizer)
    weights = jnp.asarray([member.beta for member in members])
    examples = make_examples(settings, data)
    validation = draw_validation(settings, examples)

    def rows_of(history: tuple[History, ...]) -> Iterator[Row]:
        for member, rows in zip(members, history, strict=True):
            yield from (row | {"seed": member.seed, "beta": member.beta} for row in rows)

    for steps in scored_steps(settings):
        begin = partial(
            fit_ensemble,
            model,
            setup,
            weights,
            examples,
            validation,
            keys,
            epochs=steps // chunk,
            batch_size=settings.batch_size,
            steps_per_epoch=chunk,
        )
        training = train_in_folder(folder, config, display, keys[0], time.monotonic(), begin, rows_of, log)
        progress = training.progress
        for member, divergence in zip(members, progress.diverged, strict=False):  # empty in a run that had ended
            if divergence is not None:
                display.say(f"{settings.objective} {member.beta:g}, seed {member.seed}: {divergence.message}")
        # A lost snapshot whose scores exist is not made again: training has passed it. Models that have all diverged
        # stay at fewer steps.
        path = snapshot(folder, steps)
        gone_beyond, whole = max(map(len, progress.history)) > steps // chunk, is_whole(path)
        if gone_beyond and not whole:
            display.say(f"{path} is damaged or missing, and cannot be made again: training has passed it")
        elif not whole:
            # The last parameters, as in the papers, not those of the lowest validation loss.
            last = progress._replace(best_params=progress.state.params)
            OrbaxCheckpoints(path, keys[0], config).save(last)
    return training


def is_whole(path: Path) -> bool:
    """Returns whether a snapshot was saved to its end and is what was written."""
    saved = newest(path)
    try:
        if saved is not None:
            check_whole(saved, ("last", "best", "progress"))
    except Damaged:
        return False
    return saved is not None


def load_snapshot(settings: DisentangleSettings, model: VAE, folder: RunFolder, steps: int) -> list[Params]:
    """The parameters of every model after so many steps.

    Raises:
      Damaged: the snapshot is not what was written.
      ValueError: there is no such snapshot, or one of another model or other settings.
    """
    return _load(snapshot(folder, steps), settings, model, folder)


def load_latest(settings: DisentangleSettings, model: VAE, folder: RunFolder) -> list[Params]:
    """The parameters of every model of a run that has not finished: of its last snapshot, or else its best so far.

    Raises:
      ValueError: nothing has been saved yet.
    """
    for path in (snapshot(folder, steps) for steps in reversed(scored_steps(settings))):
        if is_whole(path):
            return _load(path, settings, model, folder)
        if newest(path) is not None:
            say(f"{path} is damaged: an earlier state is used")
    return _load(folder.checkpoints, settings, model, folder)


def _load(path: Path, settings: DisentangleSettings, model: VAE, folder: RunFolder) -> list[Params]:
    keys = keys_of(settings).training
    if newest(path) is None:
        raise Damaged(f"{folder.argument} {folder.path}: {path} holds no parameters")
    try:
        stacked = load_best(path, jax.eval_shape(jax.vmap(model.init), keys), folder.config())
    except Damaged as error:
        raise Damaged(f"{folder.argument} {folder.path}: {error}; --resume saves the last one again") from error
    return [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(keys))]
