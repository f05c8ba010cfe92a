"""An experiment on images before its training: its settings checked, its data, model and folder there."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import optax
from jax.sharding import Mesh

from vae_jax.data import Images, ImageStream, fingerprint, load_images, stream_images
from vae_jax.experiment.continued import (
    check_can_continue,
    check_versions,
    epochs_to_train,
    forget_the_end,
    say_if_elsewhere,
)
from vae_jax.experiment.devices import mesh_of
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.limits import MOST_ROWS, check_numbers
from vae_jax.experiment.loggers import check_logger
from vae_jax.experiment.memory import check_fits
from vae_jax.experiment.method import Method, check_condition
from vae_jax.experiment.problem import Problem, count_classes, make_problem
from vae_jax.experiment.processes import check_same
from vae_jax.experiment.progress import say
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings, changeable, resolve, run_config
from vae_jax.objectives import Objective, is_mean_over_examples, on_prepared
from vae_jax.runs import RunFolder
from vae_jax.training import steps_per_epoch
from vae_jax.training.distributed import from_writer, is_writer


class Prepared(NamedTuple):
    """An experiment that has passed every check; its folder holds the configuration."""

    method: Method
    settings: Settings
    folder: RunFolder
    images: Images | ImageStream
    problem: Problem
    model: Any  # a VAE, or a Conditional of labels
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
    check_numbers(settings)
    if settings.epochs * settings.seeds > MOST_ROWS:
        raise ValueError(
            f"--epochs times --seeds must be at most {MOST_ROWS:,}, got {settings.epochs * settings.seeds:,}"
        )
    check_logger(settings.log)
    check_condition(method, settings)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    default_path = Path("runs") / f"{method.name}-{Path(settings.data).stem}-{stamp}-seed{settings.seed}"
    folder = RunFolder(Path(from_writer(str(settings.run_dir or default_path))))
    if is_writer():
        folder.lock() if settings.resume else folder.check_new()
    try:
        return _prepare_in(folder, method, settings, started)
    except BaseException:
        folder.unlock()
        raise


def _prepare_in(folder: RunFolder, method: Method, settings: Settings, started: float) -> Prepared:
    images = (stream_images if settings.stream else load_images)(settings.data, settings.data_dir, size=settings.size)
    given, settings = settings, resolve(settings, images)
    num_classes = count_classes(settings, images)
    if given.batch_size is None and settings.resolved_batch_size < given.default_batch_size and is_writer():
        say(f"--batch-size {settings.batch_size}: fewer than {given.default_batch_size} training images")
    check_same(run_config(method.name, settings) | versions())
    mesh = mesh_of(settings)
    about: dict[str, Any] = {
        "image_shape": images.train.shape[1:],
        "num_classes": num_classes,
        "data_fingerprint": fingerprint(images),
        "versions": versions(),
        "device": device_name() if mesh is None else f"{mesh.size} devices: {device_name()}",
    }
    trains_on = False
    if settings.resume:
        check_can_continue(folder)
        epochs = epochs_to_train(folder, settings.epochs, settings.patience, "epochs" in changeable(settings))
        settings, trains_on = dataclasses.replace(settings, epochs=epochs.number), epochs.trains_on
        folder.check_same(run_config(method.name, settings), changeable(settings))
        folder.check_data(about["data_fingerprint"], settings.data)
        check_versions(folder, settings.accept_versions)
        if is_writer():
            say_if_elsewhere(folder, about["device"])
    problem = make_problem(settings, images)
    model = method.model(settings, problem)
    whole = model if method.second_stage is None else method.second_stage.whole(settings, model)
    check_fits(whole.init, settings.seeds, "the sizes of the networks and --seeds")
    objective = on_prepared(method.objective(settings), problem.pixels.prepare)
    if settings.microbatches > 1 and not is_mean_over_examples(objective):
        raise ValueError(
            f"--microbatches {settings.microbatches}: the objective needs its batch as a whole; leave it at 1"
        )
    num_steps = settings.epochs * steps_per_epoch(problem.train.shape[0], settings.resolved_batch_size)
    optimizer = optax.adam(make_schedule(settings.schedule, settings.learning_rate, num_steps))
    if is_writer():
        if not settings.resume:
            folder.create(run_config(method.name, settings), **about)
        else:
            if trains_on:
                forget_the_end(folder)
            folder.keep_config(run_config(method.name, settings), about)
    from_writer(True)  # the others wait here: they read the folder too
    return Prepared(method, settings, folder, images, problem, model, objective, optimizer, mesh, started)
