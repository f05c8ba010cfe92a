"""One experiment on images, from settings to a finished run folder."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from vae_jax.data import Images, load_images
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import Problem, make_problem
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.resumable import train_in_folder
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings, resolve, run_config
from vae_jax.experiment.trained import Trained, draw_figures, keys_of, measure, write_trained_report
from vae_jax.models.vae import VAE
from vae_jax.objectives import Objective, on_prepared
from vae_jax.runs import RunFolder, defined
from vae_jax.training import steps_per_epoch


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
    started: float  # time.monotonic() when the command began its work


def prepare(method: Method, settings: Settings) -> Prepared:
    """Loads the data, builds the model, checks all that can be checked, and then makes the run folder.

    Raises:
      ValueError, TypeError: where a setting, the data or the run folder is not as it must be; nothing is written.
    """
    started = time.monotonic()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    default_path = Path("runs") / f"{method.name}-{Path(settings.data).stem}-{stamp}-seed{settings.seed}"
    folder = RunFolder(settings.run_dir or default_path)
    if not settings.resume:
        folder.check_new()
    images = load_images(settings.data, settings.data_dir)
    settings = resolve(settings, images)
    if settings.resume:
        folder.check_same(run_config(method.name, settings))
    problem = make_problem(settings, images)
    model = method.model(settings, problem)
    jax.eval_shape(model.init, jax.random.key(0))
    objective = on_prepared(method.objective(settings), problem.pixels.prepare)
    num_steps = settings.epochs * steps_per_epoch(len(problem.train), settings.batch_size)
    optimizer = optax.adam(make_schedule(settings.schedule, settings.learning_rate, num_steps))
    if not settings.resume:
        folder.create(run_config(method.name, settings))
    return Prepared(method, settings, folder, images, problem, model, objective, optimizer, started)


def run(prepared: Prepared) -> dict[str, Any]:
    """Trains, evaluates on the test images, draws the figures and writes the report; returns the summary."""
    method, settings, folder, images, problem, model, objective, optimizer, started = prepared
    with ProgressDisplay(settings.epochs) as display:
        counts = f"{len(problem.train)} training, {len(problem.validation)} validation, {len(problem.test)} test images"
        display.say(f"{method.name} on {images.name}: {counts}; {device_name()}; in {folder.path}")
        progress, checkpoints, seconds = train_in_folder(
            folder,
            run_config(method.name, settings),
            display,
            model,
            objective,
            optimizer,
            problem.train,
            problem.validation,
            keys_of(settings).training,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            patience=settings.patience,
            started=started,
        )
        display.say(f"best epoch {progress.best_epoch} of {len(progress.history)}; evaluating on the test images")
        params = progress.best_params
        if method.after_training is not None:
            fitted_to = problem.pixels.prepare(keys_of(settings).fitting, problem.train)
            params = method.after_training(model, params, fitted_to)
            checkpoints.save(progress._replace(best_params=params))
        trained = Trained(method, settings, folder, images, problem, model, params, progress.history)
        # A run that is resumed after its end has the same parameters: a better estimate of their nll stays.
        earlier = folder.summary() or {}
        better = earlier.get("nll_samples", 0) > settings.nll_samples
        measures = measure(trained, 0 if better else settings.nll_samples)
        if measures.summary.get("nll_warning"):
            display.say(f"warning: {measures.summary['nll_warning']}")
        display.say("drawing the figures")

    summary = earlier | {
        "experiment": method.name,
        "data": images.name,
        "data_note": images.note,
        "seed": settings.seed,
        "steps": int(progress.state.step),
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
        "test_images": len(problem.test),
        **defined(measures.summary),
        "device": device_name(),
        "versions": versions(),
    }
    figures = draw_figures(trained, measures, summary)
    summary["wall_seconds"] = seconds()
    write_trained_report(trained, summary, figures)
    folder.write_summary(summary)
    return summary
