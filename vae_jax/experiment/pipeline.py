"""One experiment on images, from settings to a finished run folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vae_jax.data import Images, load_images
from vae_jax.experiment.devices import mesh_of
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import Problem, make_problem
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.resumable import Training, train_in_folder
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings, resolve, run_config
from vae_jax.experiment.summaries import combined, model_summary, shown_model
from vae_jax.experiment.trained import Trained, draw_figures, keys_of, measure, write_trained_report
from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import Objective, accumulated, on_prepared
from vae_jax.runs import RunFolder
from vae_jax.training import History, Progress, Row, fit, fit_ensemble, steps_per_epoch
from vae_jax.training.processes import check_same, from_writer, is_writer
from vae_jax.training.sharding import gather, place, replicated


class Prepared(NamedTuple):
    """An experiment that has passed every check; its folder holds the configuration."""

    method: Method
    settings: Settings
    folder: RunFolder
    images: Images
    problem: Problem
    model: VAE
    objective: Objective  # of raw pixels
    optimizer: optax.GradientTransformation
    mesh: Mesh | None  # the devices that train; None: the first
    started: float  # time.monotonic() when the command began its work


def prepare(method: Method, settings: Settings) -> Prepared:
    """Loads the data, builds the model, checks all that can be checked, and then makes the run folder.

    Raises:
      ValueError, TypeError: where a setting, the data or the run folder is not as it must be; nothing is written.
    """
    started = time.monotonic()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    default_path = Path("runs") / f"{method.name}-{Path(settings.data).stem}-{stamp}-seed{settings.seed}"
    folder = RunFolder(Path(from_writer(str(settings.run_dir or default_path))))
    if not settings.resume and is_writer():
        folder.check_new()
    images = load_images(settings.data, settings.data_dir)
    settings = resolve(settings, images)
    check_same(run_config(method.name, settings) | versions())
    mesh = mesh_of(settings)
    if settings.resume:
        folder.check_same(run_config(method.name, settings))
    problem = make_problem(settings, images)
    model = method.model(settings, problem)
    jax.eval_shape(model.init, jax.random.key(0))
    objective = on_prepared(accumulated(method.objective(settings), settings.microbatches), problem.pixels.prepare)
    num_steps = settings.epochs * steps_per_epoch(len(problem.train), settings.batch_size)
    optimizer = optax.adam(make_schedule(settings.schedule, settings.learning_rate, num_steps))
    if not settings.resume and is_writer():
        folder.create(run_config(method.name, settings))
    return Prepared(method, settings, folder, images, problem, model, objective, optimizer, mesh, started)


def run(prepared: Prepared) -> dict[str, Any]:
    """Trains, evaluates on the test images, draws the figures and writes the report; returns the summary.

    Of several processes the first does what follows the training, on its first device; the others return an empty one.
    """
    method, settings, folder, images, problem, model, *_ = prepared
    with ProgressDisplay(settings.epochs) as display:
        counts = f"{len(problem.train)} training, {len(problem.validation)} validation, {len(problem.test)} test images"
        models = f"{settings.seeds} models at once, " if settings.seeds > 1 else ""
        display.say(f"{method.name} on {images.name}: {models}{counts}; {device_name()}; in {folder.path}")
        training, members, save = _train(prepared, display)
        params = [gather(member.best_params) for member in members]
        if method.after_training is not None:
            fitted_to = problem.pixels.prepare(keys_of(settings).fitting, problem.train)
            params = [method.after_training(model, best, fitted_to) for best in params]
            save(params)
        if not is_writer():
            return {}
        best_epochs = ", ".join(f"{member.best_epoch} of {len(member.history)}" for member in members)
        display.say(f"best epoch {best_epochs}; evaluating on the test images")

        earlier = folder.summary() or {}
        models_before = earlier.get("models", [earlier])
        trained, measured, summaries = [], [], []
        for i, member in enumerate(members):
            own = dataclasses.replace(settings, seed=settings.seed + i, seeds=1)
            trained.append(Trained(method, own, folder, images, problem, model, params[i], member.history))
            before = models_before[i] if i < len(models_before) else {}
            # A run that is resumed after its end has the same parameters: a better estimate of their nll stays.
            better = before.get("nll_samples", 0) > settings.nll_samples
            measured.append(measure(trained[i], 0 if better else settings.nll_samples))
            summaries.append(before | model_summary(own.seed, member, measured[i].summary))
            if measured[i].summary.get("nll_warning"):
                of_seed = f", seed {own.seed}" if settings.seeds > 1 else ""
                display.say(f"warning{of_seed}: {measured[i].summary['nll_warning']}")
        display.say("drawing the figures")

    shown = shown_model(members)
    of_models = (
        summaries[0] if settings.seeds == 1 else combined(summaries) | {"shown_seed": trained[shown].settings.seed}
    )
    summary = of_models | {
        "experiment": method.name,
        "data": images.name,
        "data_note": images.note,
        "test_images": len(problem.test),
        "device": device_name(),
        "versions": versions(),
    }
    if training.seconds_to_first_step is not None:
        summary["seconds_to_first_step"] = training.seconds_to_first_step
    figures = draw_figures(trained[shown], measured[shown], summaries[shown])
    summary["wall_seconds"] = training.seconds()
    write_trained_report(trained[shown], summary, figures)
    folder.write_summary(summary)
    return summary


def _train(
    prepared: Prepared, display: ProgressDisplay
) -> tuple[Training, list[Progress], Callable[[list[Params]], None]]:
    """The training, the progress of each model, and what saves the parameters that are kept of each."""
    settings, folder, problem, model = prepared.settings, prepared.folder, prepared.problem, prepared.model
    objective, optimizer, config = prepared.objective, prepared.optimizer, run_config(prepared.method.name, settings)
    options: dict[str, Any] = {
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "patience": settings.patience,
    }
    seeds = range(settings.seed, settings.seed + settings.seeds)
    keys = jnp.stack([keys_of(dataclasses.replace(settings, seed=seed)).training for seed in seeds])
    in_folder = partial(train_in_folder, folder, config, display, keys[0], prepared.started)
    examples = problem.train, problem.validation
    if settings.seeds == 1:
        mesh = prepared.mesh
        one = in_folder(partial(fit, model, objective, optimizer, *examples, keys[0], **options, mesh=mesh))
        placed = lambda params: params if mesh is None else place(params, replicated(mesh))
        save = lambda params: one.checkpoints.save(one.progress._replace(best_params=placed(params[0])))
        return one, [one.progress], save

    def rows_of(history: tuple[History, ...]) -> Iterator[Row]:
        return (row | {"seed": seed} for seed, rows in zip(seeds, history, strict=True) for row in rows)

    setup = lambda _: (objective, optimizer)
    many = in_folder(partial(fit_ensemble, model, setup, None, *examples, keys, **options), rows_of)
    stacked = lambda params: jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    save = lambda params: many.checkpoints.save(many.progress._replace(best_params=stacked(params)))
    return many, [many.progress.member(i) for i in range(settings.seeds)], save
