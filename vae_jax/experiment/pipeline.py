"""One experiment on images, from settings to a finished run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from vae_jax.data import Images, load_images
from vae_jax.evaluation import Measures, bits_per_dimension
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.problem import Problem, make_problem
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings, as_command, resolve, run_config
from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import Objective, on_prepared
from vae_jax.runs import RunFolder
from vae_jax.training import Progress, fit, steps_per_epoch
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.visualization import ReportFigure, save_figure, write_report
from vae_jax.visualization.model_figures import Subject, model_figures


class Method(NamedTuple):
    """What makes one experiment differ from another."""

    name: str  # of the module in experiments/
    title: str  # of the report
    model: Callable[[Any, Problem], VAE]  # (settings, problem)
    objective: Callable[[Any], Objective]  # (settings)
    # (model, params, key, xs, elbo_samples, nll_samples): a vae_jax.evaluation.measure_*
    measure: Callable[[VAE, Params, jax.Array, jax.Array, int, int], Measures]
    # (model, params, training images as the model sees them) -> params: what is fitted after training, if anything
    after_training: Callable[[VAE, Params, jax.Array], Params] | None = None


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
    train_key, fitting_key, evaluation_key, figure_key = jax.random.split(jax.random.key(settings.seed), 4)
    config = run_config(method.name, settings)
    checkpoints = OrbaxCheckpoints(folder.checkpoints, train_key, config)

    with ProgressDisplay(settings.epochs) as display:
        counts = f"{len(problem.train)} training, {len(problem.validation)} validation, {len(problem.test)} test images"
        display.say(f"{method.name} on {images.name}: {counts}; {device_name()}; in {folder.path}")

        rows = folder.metrics()
        spent = rows[-1]["seconds"] if rows else 0.0  # by the processes that this one continues

        def seconds() -> float:
            return round(spent + time.monotonic() - started, 2)

        def on_epoch(progress: Progress) -> None:
            # Epochs after the last checkpoint are done again, in the same bits.
            rows[len(progress.history) - 1 :] = [progress.history[-1] | {"seconds": seconds()}]
            folder.write_metrics(rows)
            display.show(progress.history[-1])

        progress = fit(
            model,
            objective,
            optimizer,
            problem.train,
            problem.validation,
            train_key,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            patience=settings.patience,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )
        display.say(f"best epoch {progress.best_epoch} of {len(progress.history)}; evaluating on the test images")
        params = progress.best_params
        if method.after_training is not None:
            params = method.after_training(model, params, problem.pixels.prepare(fitting_key, problem.train))
            checkpoints.save(progress._replace(best_params=params), final=True)
        measures = method.measure(
            model, params, evaluation_key, problem.test, settings.elbo_samples, settings.nll_samples
        )
        display.say("drawing the figures")

    summary = {
        "experiment": method.name,
        "data": images.name,
        "data_note": images.note,
        "seed": settings.seed,
        "steps": int(progress.state.step),
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
        "test_images": len(problem.test),
        **measures.summary,
        **_bits_per_dimension(measures, problem),
        "device": device_name(),
        "versions": versions(),
    }
    subject = Subject(
        model,
        params,
        problem.test,
        problem.test_labels,
        measures.posterior_means,
        measures.kl_per_dimension,
        progress.history,
    )
    figures = []
    for name, title, caption, figure in model_figures(subject, figure_key):
        path = folder.figures / f"{name}.png"
        save_figure(figure, path)
        figures.append(ReportFigure(name, title, caption, path))
    summary["wall_seconds"] = seconds()
    write_report(
        folder.report,
        title=f"{method.title} on {images.name}",
        summary=summary | {"command": as_command(method.name, settings)},
        config=config,
        figures=figures,
    )
    folder.write_summary(summary)
    return summary


def _bits_per_dimension(measures: Measures, problem: Problem) -> dict[str, float]:
    """Where p(x | z) is of 8-bit pixels: bits of black and white are not compared by it."""
    bound = measures.summary["negative_elbo"]
    if bound is None or problem.pixels.levels is None:
        return {}
    return {"bits_per_dim": bits_per_dimension(bound, problem.test[0].size, problem.pixels.levels)}
