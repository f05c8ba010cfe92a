"""An experiment on images before its training: its settings checked, its data, model and folder there."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jax
import optax
from jax.sharding import Mesh

from vae_jax.data import Images, ImageStream, load_images, stream_images
from vae_jax.experiment.devices import mesh_of
from vae_jax.experiment.environment import versions
from vae_jax.experiment.loggers import check_logger
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import Problem, make_problem
from vae_jax.experiment.progress import say
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings, resolve, run_config
from vae_jax.models.vae import VAE
from vae_jax.objectives import Objective, accumulated, on_prepared
from vae_jax.runs import RunFolder
from vae_jax.training import steps_per_epoch
from vae_jax.training.processes import check_same, from_writer, is_writer


class Prepared(NamedTuple):
    """An experiment that has passed every check; its folder holds the configuration."""

    method: Method
    settings: Settings
    folder: RunFolder
    images: Images | ImageStream
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
    check_logger(settings.log)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    default_path = Path("runs") / f"{method.name}-{Path(settings.data).stem}-{stamp}-seed{settings.seed}"
    folder = RunFolder(Path(from_writer(str(settings.run_dir or default_path))))
    if not settings.resume and is_writer():
        folder.check_new()
    images = (stream_images if settings.stream else load_images)(settings.data, settings.data_dir, size=settings.size)
    given, settings = settings, resolve(settings, images)
    if given.batch_size is None and settings.resolved_batch_size < given.default_batch_size and is_writer():
        say(f"--batch-size {settings.batch_size}: fewer than {given.default_batch_size} training images")
    check_same(run_config(method.name, settings) | versions())
    mesh = mesh_of(settings)
    if settings.resume:
        folder.check_same(run_config(method.name, settings))
    problem = make_problem(settings, images)
    model = method.model(settings, problem)
    jax.eval_shape(model.init, jax.random.key(0))
    objective = on_prepared(accumulated(method.objective(settings), settings.microbatches), problem.pixels.prepare)
    num_steps = settings.epochs * steps_per_epoch(problem.train.shape[0], settings.resolved_batch_size)
    optimizer = optax.adam(make_schedule(settings.schedule, settings.learning_rate, num_steps))
    if not settings.resume and is_writer():
        folder.create(run_config(method.name, settings), images.train.shape[1:])
    return Prepared(method, settings, folder, images, problem, model, objective, optimizer, mesh, started)
