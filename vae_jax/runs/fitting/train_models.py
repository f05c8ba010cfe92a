"""Training of all models of a run: a single model on images in memory or on disk, or several models in one program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data import Batches
from vae_jax.objectives import with_preprocessing
from vae_jax.params import Params
from vae_jax.runs.choices.loggers import LOGGERS
from vae_jax.runs.config import run_config, upgraded
from vae_jax.runs.fitting.in_folder import Training, train_in_folder
from vae_jax.runs.fitting.snapshots import keep
from vae_jax.runs.keys import keys_of
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.runs.recipe import Member, PreparedRun, name_of, weight_name
from vae_jax.training import EnsembleProgress, History, Progress, Row, fit, fit_ensemble, fit_stream
from vae_jax.training.sharding import replicate

Save = Callable[[list[Params]], None]


def train_models(prepared: PreparedRun, display: ProgressDisplay) -> tuple[Training, list[Progress], Save]:
    """Trains all models of a run.

    Returns:
      The training, the progress of each model, and a function that saves new best parameters of all models.
    """
    recipe, settings, length = prepared.recipe, prepared.settings, prepared.length
    members = recipe.kind.members(settings)
    keys = jnp.stack([keys_of(member.seed).training for member in members])
    in_folder = partial(
        train_in_folder,
        prepared.folder,
        run_config(recipe, settings),
        display,
        keys[0],
        log=LOGGERS.of(settings).build,
        changeable=recipe.kind.changeable(settings),
        upgrade=partial(upgraded, recipe),
    )
    optimizer, evaluated = recipe.optimizer(settings, prepared.num_steps)
    until: dict[str, Any] = {"patience": length.patience, "microbatches": length.microbatches, "evaluated": evaluated}
    if len(members) > 1 or members[0].weight is not None:
        return _train_many(prepared, display, members, keys, in_folder, optimizer, until)

    objective, mesh, key, problem = _objective(prepared, None), prepared.mesh, keys[0], prepared.problem
    if not hasattr(problem.train_examples, "read"):  # in memory
        train: Callable[..., Progress] = partial(
            fit, prepared.model, objective, optimizer, problem.train_examples, batch_size=length.batch_size
        )
    else:
        processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        batches = Batches(problem.train, length.batch_size, settings.seed, **processes)
        train = partial(fit_stream, prepared.model, objective, optimizer, batches)
    begin = partial(train, validation=problem.validation_examples, key=key, mesh=mesh, epochs=length.epochs, **until)
    one: Training = in_folder(prepared.started, begin)
    save = lambda params: one.checkpoints.save(one.progress._replace(best_params=replicate(params[0], mesh)))
    return one, [one.progress], save


def _objective(prepared: PreparedRun, weight: Any) -> Any:
    objective = prepared.recipe.objective(
        prepared.settings, prepared.problem, prepared.model, prepared.num_steps, weight
    )
    prepare = prepared.problem.prepare
    return objective if prepare is None else with_preprocessing(objective, prepare)


def _train_many(
    prepared: PreparedRun,
    display: ProgressDisplay,
    members: Sequence[Member],
    keys: jax.Array,
    in_folder: Callable[..., Training],
    optimizer: Any,
    until: dict[str, Any],
) -> tuple[Training, list[Progress], Save]:
    """Trains several models in one program; after each mark of the run's length their last parameters are saved."""
    settings, problem, length = prepared.settings, prepared.problem, prepared.length
    weights = None if members[0].weight is None else jnp.asarray([member.weight for member in members])
    # The objective of models without weights of their own is made once.
    alike = _objective(prepared, None) if weights is None else None
    setup = lambda weight: (_objective(prepared, weight) if alike is None else alike, optimizer)
    rows_of = _rows(members, settings)
    evaluated = until["evaluated"]
    started, first_step = prepared.started, None
    for epochs in length.marks or (length.epochs,):
        begin = partial(
            fit_ensemble,
            prepared.model,
            setup,
            weights,
            problem.train_examples,
            problem.validation_examples,
            keys,
            epochs=epochs,
            batch_size=length.batch_size,
            steps_per_epoch=length.steps_per_epoch,
            **until,
        )
        many: Training[EnsembleProgress] = in_folder(started, begin, rows_of)
        if many.seconds_to_first_step is not None:
            # The rows of metrics.jsonl hold the seconds up to here.
            started, first_step = time.monotonic(), first_step or many.seconds_to_first_step
        for member, divergence in zip(members, many.progress.diverged, strict=False):  # empty in a run that had ended
            if divergence is not None:
                display.say(f"{name_of(settings, member)}: {divergence.message}")
        if length.marks:
            keep(prepared, epochs, many.progress, evaluated, display)
    stacked = lambda params: jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    save = lambda params: many.checkpoints.save(many.progress._replace(best_params=stacked(params)))
    many = many._replace(seconds_to_first_step=first_step)
    return many, [many.progress.member(i) for i in range(len(members))], save


def _rows(members: Sequence[Member], settings: Any) -> Callable[[tuple[History, ...]], Iterator[Row]]:
    def rows_of(history: tuple[History, ...]) -> Iterator[Row]:
        for member, rows in zip(members, history, strict=True):
            own: dict[str, float] = {"seed": member.seed}
            if member.weight is not None:
                own[weight_name(settings)] = member.weight
            yield from (row | own for row in rows)

    return rows_of
