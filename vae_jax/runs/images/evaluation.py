"""A finished run measured further: its numbers are added to `summary.json`, its report is written anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.evaluation import from_posterior, from_prior, measure_surgery
from vae_jax.evaluation._require import require_density
from vae_jax.models import VAE, bind
from vae_jax.runs.folder import defined
from vae_jax.runs.images.kind import draw, measure, title
from vae_jax.runs.images.long_measurements import annealing_with_progress, nll_with_progress
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.loading import open_run
from vae_jax.runs.machine import device_name
from vae_jax.runs.options import Evaluate
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Outcome, Prepared, Recipe, Trained
from vae_jax.runs.reporting.report import write_pages
from vae_jax.runs.reporting.summaries import add_to_summary, summary_of_model

_DEFAULT_AIS_IMAGES = 10  # or all, if there are fewer


class Part(NamedTuple):
    """One part of the evaluation: words for the terminal, and the function that measures it."""

    words: str
    measure: Callable[[], dict[str, Any]]


class Opened(NamedTuple):
    """A run that can be measured further, and the model that is measured."""

    prepared: Prepared
    trained: Trained


def prepare_evaluation(options: Evaluate, recipe: Recipe | None = None) -> Opened:
    """Opens a run with its model and data, and checks all that can be checked; nothing is written.

    Args:
      options: options of the command.
      recipe: RECIPE of a script of the user's own that made the run; None: the recipe of that name.

    Raises:
      ValueError, TypeError: if an option is out of range, or RUN is not the folder of a run that can be measured.
    """
    check_numbers(options)
    opened = Opened(*open_run(options.run, options.data_dir, options.seed, recipe=recipe))
    count = len(opened.prepared.problem.test)
    if options.ais_images is not None and options.ais_images > count:
        raise ValueError(f"--ais-images must be at most the {count} test images, got {options.ais_images}")
    require_density(
        f"RUN {options.run}: the posterior of its model",
        lambda: _encoded(opened),
        "without one there is neither a likelihood nor a rate; give a run whose posterior has one, such as of "
        "experiments.vae",
    )
    if options.ais_images and not _has_real_code(opened):
        raise ValueError(f"--ais-images needs a z of real numbers, which RUN {options.run} has not: leave it out")
    return opened


def _first(opened: Opened) -> tuple[VAE, Any]:
    """The VAE of the first test image's context, and that image."""
    first = jax.tree.map(lambda leaf: leaf[0], opened.prepared.problem.test_examples)
    return bind(opened.trained.model, first)


def _encoded(opened: Opened) -> Distribution:
    vae, x = _first(opened)
    return vae.encode(opened.trained.params, x)


def _has_real_code(opened: Opened) -> bool:
    """Returns whether all parts of z are real numbers, which HMC can move."""
    code = jax.eval_shape(lambda: _first(opened)[0].prior(opened.trained.params).sample(jax.random.key(0)))
    return all(jnp.issubdtype(part.dtype, jnp.floating) for part in jax.tree.leaves(code))


def run_evaluation(opened: Opened, options: Evaluate) -> dict[str, Any]:
    """Measures part by part, adds each to `summary.json` as soon as it is done, and writes the report.

    Nothing is written for a run that has not finished: a summary would mark it as finished.

    Returns:
      The summary; for an unfinished run, only what was measured.
    """
    started = time.monotonic()
    prepared, trained = opened
    folder, test, seed = prepared.folder, prepared.problem.test, trained.member.seed
    say(f"{prepared.recipe.name} on {prepared.data.name}, {len(test)} test images; {device_name()}; {folder.path}")
    finished = folder.summary() is not None
    summary: dict[str, Any] = {}

    def add(numbers: Mapping[str, Any]) -> dict[str, Any]:
        return add_to_summary(folder, seed, numbers) if finished else summary | defined(numbers)

    measures = measure(prepared, trained, 0)
    summary = add(measures.summary)
    if finished and "models" in summary:
        summary = folder.add_to_summary({"shown_seed": seed})
    for part in _parts(opened, options):
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
    figures = draw(prepared, trained, measures, summary_of_model(summary, trained.member))
    seconds = round(time.monotonic() - started, 2)
    summary = folder.add_to_summary({"evaluation_seconds": seconds, **about})
    write_pages(prepared.recipe, prepared.settings, folder, Outcome(title(prepared), summary, figures))
    return summary


def _parts(opened: Opened, options: Evaluate) -> Iterator[Part]:
    trained = opened.trained
    model, params, test = trained.model, trained.params, opened.prepared.problem.test_examples
    keys = keys_of(trained.member.seed)
    surgery_key, nll_key, ais_key = jax.random.split(keys.further_evaluation, 3)
    yield Part(
        "taking the rate apart", lambda: measure_surgery(model, params, surgery_key, test, options.surgery_points)
    )

    if options.nll_samples:
        yield Part(
            f"importance sampling, {options.nll_samples:,} samples an image",
            lambda: nll_with_progress(model, params, nll_key, test, options.nll_samples),
        )
    default = _DEFAULT_AIS_IMAGES if _has_real_code(opened) else 0
    num_images = default if options.ais_images is None else options.ais_images
    if not num_images:
        return
    chains, temperatures = options.ais_chains, options.ais_temperatures
    first = jax.tree.map(lambda leaf: leaf[:num_images], test)
    start = {"posterior": from_posterior, "prior": from_prior}[options.ais_start]

    yield Part(
        f"annealing of {num_images} test images and {num_images} of the model's own, {chains} chains each over "
        f"{temperatures:,} temperatures",
        # Importance sampling of the first images has the draws of the nll above.
        lambda: annealing_with_progress(
            model, params, ais_key, first, chains, temperatures, nll_key, options.nll_samples, start
        ),
    )
