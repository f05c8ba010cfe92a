"""The training of an experiment: of one model, on images in memory or on disk, or of several at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import Batches
from vae_jax.experiment.loggers import LOGGERS
from vae_jax.experiment.prepared import Prepared
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.resumable import Training, train_in_folder
from vae_jax.experiment.settings import changeable, run_config
from vae_jax.experiment.trained import keys_of
from vae_jax.params import Params
from vae_jax.training import History, Progress, Row, fit, fit_ensemble, fit_stream
from vae_jax.training.sharding import everywhere


def train_members(
    prepared: Prepared, display: ProgressDisplay
) -> tuple[Training, list[Progress], Callable[[list[Params]], None]]:
    """The training, the progress of each model, and what saves the parameters that are kept of each."""
    settings, problem, model = prepared.settings, prepared.problem, prepared.model
    objective, optimizer, config = prepared.objective, prepared.optimizer, run_config(prepared.method.name, settings)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    keys = jnp.stack([keys_of(dataclasses.replace(settings, seed=seed)).training for seed in seeds])
    log = LOGGERS[settings.log]
    in_folder = partial(
        train_in_folder,
        prepared.folder,
        config,
        display,
        keys[0],
        prepared.started,
        log=log,
        changeable=changeable(settings),
    )
    batch_size = settings.resolved_batch_size
    until: dict[str, Any] = {
        "epochs": settings.epochs,
        "patience": settings.patience,
        "microbatches": settings.microbatches,
    }
    if settings.seeds > 1:
        setup = lambda _: (objective, optimizer)
        assert isinstance(problem.train, np.ndarray)  # resolve refuses several models on a stream
        examples = problem.train_examples, problem.validation_examples
        begin = partial(fit_ensemble, model, setup, None, *examples, keys, batch_size=batch_size, **until)
        many = in_folder(begin, _rows(seeds))
        for seed, divergence in zip(seeds, many.progress.diverged, strict=False):  # empty in a run that had ended
            if divergence is not None:
                display.say(f"seed {seed}: {divergence.message}")
        stacked = lambda params: jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        save = lambda params: many.checkpoints.save(many.progress._replace(best_params=stacked(params)))
        return many, [many.progress.member(i) for i in range(settings.seeds)], save

    mesh, key = prepared.mesh, keys[0]
    if isinstance(problem.train, np.ndarray):
        train: Callable[..., Progress] = partial(
            fit, model, objective, optimizer, problem.train_examples, batch_size=batch_size
        )
    else:
        processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        batches = Batches(problem.train, batch_size, settings.seed, **processes)
        train = partial(fit_stream, model, objective, optimizer, batches)
    one = in_folder(partial(train, validation=problem.validation_examples, key=key, mesh=mesh, **until))
    save = lambda params: one.checkpoints.save(one.progress._replace(best_params=everywhere(params[0], mesh)))
    return one, [one.progress], save


def _rows(seeds: range) -> Callable[[tuple[History, ...]], Iterator[Row]]:
    def rows_of(history: tuple[History, ...]) -> Iterator[Row]:
        return (row | {"seed": seed} for seed, rows in zip(seeds, history, strict=True) for row in rows)

    return rows_of
