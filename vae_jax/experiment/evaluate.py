"""A finished run measured further: its numbers are added to `summary.json`, its report is written anew."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.data import fingerprint, load_images, stream_images
from vae_jax.distributions import Distribution
from vae_jax.evaluation import from_posterior, from_prior, measure_surgery
from vae_jax.evaluation._require import require_density
from vae_jax.experiment.environment import device_name
from vae_jax.experiment.evaluate_options import Evaluate
from vae_jax.experiment.limits import check_numbers
from vae_jax.experiment.loaded import load_method_run
from vae_jax.experiment.long_measurements import annealing_with_progress, nll_with_progress
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import make_problem
from vae_jax.experiment.progress import say
from vae_jax.experiment.settings import Settings
from vae_jax.experiment.summaries import add_to_summary
from vae_jax.experiment.trained import Trained, draw_figures, keys_of, measure, write_trained_report
from vae_jax.models import VAE, bind
from vae_jax.runs import RunFolder, defined

_DEFAULT_AIS_IMAGES = 10  # or all, where the test images are fewer


class Part(NamedTuple):
    """One part of the evaluation: what is said of it, and what makes its numbers."""

    words: str
    measure: Callable[[], dict[str, Any]]


def prepare_evaluation(options: Evaluate) -> Trained:
    """The run with its model and data, all that can be checked checked; nothing is written.

    Raises:
      ValueError, TypeError: where an option is out of range, or RUN is not the folder of a run that can be measured.
    """
    check_numbers(options)
    trained = open_run(options.run, options.data_dir, options.seed)
    if options.ais_images is not None and options.ais_images > len(trained.problem.test):
        raise ValueError(
            f"--ais-images must be at most the {len(trained.problem.test)} test images, got {options.ais_images}"
        )
    require_density(
        f"RUN {options.run}: the posterior of its model",
        lambda: _encoded(trained),
        "without one there is neither a likelihood nor a rate; give a run whose posterior has one, such as of "
        "experiments.vae",
    )
    if options.ais_images and not _has_real_code(trained):
        raise ValueError(f"--ais-images needs a z of real numbers, which RUN {options.run} has not: leave it out")
    return trained


def _first(trained: Trained) -> tuple[VAE, Any]:
    """The VAE of the first test image's context, and that image."""
    return bind(trained.model, jax.tree.map(lambda leaf: leaf[0], trained.problem.test_examples))


def _encoded(trained: Trained) -> Distribution:
    vae, x = _first(trained)
    return vae.encode(trained.params, x)


def _has_real_code(trained: Trained) -> bool:
    """Whether z is of real numbers in all its parts, so that HMC can move it."""
    code = jax.eval_shape(lambda: _first(trained)[0].prior(trained.params).sample(jax.random.key(0)))
    return all(jnp.issubdtype(part.dtype, jnp.floating) for part in jax.tree.leaves(code))


def open_run(path: Path, data_dir: str | None = None, seed: int | None = None, method: Method | None = None) -> Trained:
    """Run in a folder, with its data and the parameters of its best epoch (so far, if the run is unfinished).

    Of a run of several models it is the one of that seed, or of the seed that the report shows.

    Raises:
      ValueError: if the folder is not that of a run with a checkpoint, or its experiment is not to be found, or its
        data are not to be found or have changed.
    """
    folder = RunFolder(path, "RUN")
    method, loaded = load_method_run(folder, seed, method)
    folder.check_no_export()
    history = [row for row in folder.metrics() if row.get("seed", loaded.settings.seed) == loaded.settings.seed]
    if not history:
        raise ValueError(
            f"RUN {path} has no metrics.jsonl with rows of its model, which its report shows: give a whole run"
        )
    own: Settings = dataclasses.replace(loaded.settings, data_dir=data_dir)
    try:
        images = (stream_images if own.stream else load_images)(own.data, data_dir, size=own.size)
    except ValueError as error:
        raise ValueError(f"RUN {path} was made with --data {own.data}, not to be loaded from here: {error}") from error
    problem = make_problem(own, images)
    folder.check_data(fingerprint(images), own.data)
    expected = loaded.summary.get("test_images")
    if expected not in (None, len(problem.test)):
        raise ValueError(
            f"RUN {path} was measured on {expected} test images, but --data {own.data} now has {len(problem.test)}: "
            "give it the data that it was made with"
        )
    if images.train.shape[1:] != loaded.image_shape:
        raise ValueError(
            f"RUN {path} was made of images of the shape {loaded.image_shape}, but --data {own.data} now has "
            f"{images.train.shape[1:]}: give it the data that it was made with"
        )
    return Trained(method, own, folder, images, problem, loaded.model, loaded.params, history)


def run_evaluation(trained: Trained, options: Evaluate) -> dict[str, Any]:
    """Measures part by part, each added to `summary.json` as soon as it is there; then the report.

    Nothing is written for a run that has not finished: a summary would mark it as finished.

    Returns:
      The summary; for an unfinished run, only what was measured.
    """
    started = time.monotonic()
    folder, test, seed = trained.folder, trained.problem.test, trained.settings.seed
    say(f"{trained.method.name} on {trained.images.name}, {len(test)} test images; {device_name()}; {folder.path}")
    finished = folder.summary() is not None
    summary: dict[str, Any] = {}

    def add(numbers: Mapping[str, Any]) -> dict[str, Any]:
        return add_to_summary(folder, seed, numbers) if finished else summary | defined(numbers)

    measures = measure(trained, 0)
    summary = add(measures.summary)
    if finished and "models" in summary:
        summary = folder.add_to_summary({"shown_seed": seed})
    for part in _parts(trained, options):
        say(part.words)
        numbers = part.measure()
        summary = add(numbers)
        for name in ("nll_warning", "ais_warning"):
            if numbers.get(name):
                say(f"warning: {numbers[name]}")
    about = {"evaluation_device": device_name()}
    if not finished:
        epochs = {"unfinished": True, "epochs": len(trained.history), "seed": seed}
        return epochs | summary | about | {"evaluation_seconds": round(time.monotonic() - started, 2)}
    say("drawing the figures")
    own = next((model for model in summary.get("models", ()) if model["seed"] == seed), summary)
    figures = draw_figures(trained, measures, own)
    seconds = round(time.monotonic() - started, 2)
    summary = folder.add_to_summary({"evaluation_seconds": seconds, **about})
    write_trained_report(trained, summary, figures)
    return summary


def _parts(trained: Trained, options: Evaluate) -> Iterator[Part]:
    model, params, test = trained.model, trained.params, trained.problem.test_examples
    surgery_key, nll_key, ais_key = jax.random.split(keys_of(trained.settings).further_evaluation, 3)
    yield Part(
        "taking the rate apart", lambda: measure_surgery(model, params, surgery_key, test, options.surgery_points)
    )

    if options.nll_samples:
        yield Part(
            f"importance sampling, {options.nll_samples:,} samples an image",
            lambda: nll_with_progress(model, params, nll_key, test, options.nll_samples),
        )
    default = _DEFAULT_AIS_IMAGES if _has_real_code(trained) else 0
    num_images = default if options.ais_images is None else options.ais_images
    if not num_images:
        return
    chains, temperatures = options.ais_chains, options.ais_temperatures
    first = jax.tree.map(lambda leaf: leaf[:num_images], test)
    start = {"posterior": from_posterior, "prior": from_prior}[options.ais_start]

    yield Part(
        f"annealing of {num_images} test images and {num_images} of the model's own, {chains} chains each over "
        f"{temperatures:,} temperatures",
        # By the draws of the nll above: the mean of the first images alone.
        lambda: annealing_with_progress(
            model, params, ais_key, first, chains, temperatures, nll_key, options.nll_samples, start
        ),
    )
