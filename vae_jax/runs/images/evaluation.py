"""Further measurements of a finished run, which are added to `summary.json` and to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.evaluation import Measures, from_posterior, from_prior, measure_surgery
from vae_jax.evaluation._require import require_density
from vae_jax.models import VAE, bind
from vae_jax.runs.folder import defined
from vae_jax.runs.images.long_measurements import annealing_with_progress, nll_with_progress
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.loading import open_run
from vae_jax.runs.machine import device_name
from vae_jax.runs.options import Evaluate
from vae_jax.runs.per_seed import title
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Outcome, PreparedRun, Recipe, TrainedModel
from vae_jax.runs.reporting.report import save_figures, write_pages
from vae_jax.runs.reporting.summaries import add_to_summary, summary_of_model
from vae_jax.visualization._model_figures import Captioned

_DEFAULT_AIS_IMAGES = 10  # or all, if there are fewer


def prepare_evaluation(options: Evaluate, recipe: Recipe | None = None) -> tuple[PreparedRun, TrainedModel]:
    """Opens a run with its model and data, and checks all that can be checked; nothing is written.

    Args:
      recipe: RECIPE of the user's own script that made the run; None: the recipe that config.json names.

    Raises:
      ValueError, TypeError: if an option is out of range, or RUN is not the folder of a run that can be measured.
    """
    check_numbers(options)
    prepared, trained = open_run(options.run, options.data_dir, options.seed, recipe=recipe)
    count, kind = prepared.problem.num_test, prepared.recipe.kind
    if options.ais_images is not None and options.ais_images > count:
        raise ValueError(f"--ais-images must be at most the {count} test {kind.example}s, got {options.ais_images}")
    require_density(
        f"RUN {options.run}: the posterior of its model",
        lambda: _encoded(prepared, trained),
        "without one there is neither a likelihood nor a rate; give a run whose posterior has one, such as one of vae",
    )
    if options.nll_samples:
        require_density(
            f"RUN {options.run}: the prior of its model",
            lambda: _first(prepared, trained)[0].prior(trained.params),
            "without one there is no likelihood to measure; give --nll-samples 0",
        )
    if options.ais_images and not _has_real_code(prepared, trained):
        raise ValueError(f"--ais-images needs a continuous z, and z of RUN {options.run} is discrete: leave it out")
    return prepared, trained


def _first(prepared: PreparedRun, trained: TrainedModel) -> tuple[VAE, Any]:
    """VAE for the context of the first test image, and that image."""
    first = jax.tree.map(lambda leaf: leaf[0], prepared.problem.test_examples)
    return bind(trained.model, first)


def _encoded(prepared: PreparedRun, trained: TrainedModel) -> Distribution:
    vae, x = _first(prepared, trained)
    return vae.encode(trained.params, x)


def _has_real_code(prepared: PreparedRun, trained: TrainedModel) -> bool:
    """Returns whether all parts of z are real numbers, as HMC requires."""
    prior = lambda: _first(prepared, trained)[0].prior(trained.params)
    code = jax.eval_shape(lambda: prior().sample(jax.random.key(0)))
    return all(jnp.issubdtype(part.dtype, jnp.floating) for part in jax.tree.leaves(code))


def run_evaluation(
    prepared: PreparedRun,
    trained: TrainedModel,
    options: Evaluate,
    finished: bool,
    more_figures: Iterable[Captioned] = (),
) -> dict[str, Any]:
    """Measures part by part, adds each to `summary.json` as soon as it is done, and writes the report.

    Nothing is written for an unfinished run: a summary would mark it as finished.

    Args:
      more_figures: figures that are added at the end of the report.

    Returns:
      The summary; for an unfinished run, only what was measured.
    """
    started = time.monotonic()
    folder, seed, kind = prepared.folder, trained.member.seed, prepared.recipe.kind
    counted = f"{prepared.problem.num_test} test {kind.example}s"
    say(f"{prepared.recipe.name} on {prepared.data.name}, {counted}; {device_name()}; {folder.path}")
    summary: dict[str, Any] = {}

    def add(numbers: Mapping[str, Any]) -> dict[str, Any]:
        return add_to_summary(folder, seed, numbers) if finished else summary | defined(numbers)

    assert kind.measure is not None
    measures = kind.measure(prepared, trained, 0)
    summary = add(measures.summary)
    for name, measure_part in _parts(prepared, trained, options):
        say(name)
        numbers = measure_part()
        summary = add(numbers)
        for key in ("nll_warning", "ais_warning"):
            if numbers.get(key):
                say(f"warning: {numbers[key]}")
    if finished:
        return finish_evaluation(prepared, trained, measures, started, more_figures)
    summary |= {"evaluation_device": device_name(), "evaluation_seconds": round(time.monotonic() - started, 2)}
    return {"unfinished": True, "epochs": len(trained.history), "seed": seed} | summary


def finish_evaluation(
    prepared: PreparedRun,
    trained: TrainedModel,
    measures: Measures,
    started: float,
    more_figures: Iterable[Captioned],
) -> dict[str, Any]:
    """Draws the figures of the model and `more_figures`, and writes the report with them; returns the summary."""
    say("drawing the figures")
    folder, measured, kind = prepared.folder, prepared.folder.summary() or {}, prepared.recipe.kind
    assert kind.draw is not None
    figures = kind.draw(prepared, trained, measures, summary_of_model(measured, trained.member))
    figures += save_figures(folder, more_figures)
    about = {"evaluation_seconds": round(time.monotonic() - started, 2), "evaluation_device": device_name()}
    if "models" in measured:
        about |= {"shown_seed": trained.member.seed}
    summary = folder.add_to_summary(about)
    write_pages(prepared, Outcome(title(prepared), summary, figures))
    return summary


def _parts(
    prepared: PreparedRun, trained: TrainedModel, options: Evaluate
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Parts of the evaluation: a description for the terminal, and the function that measures the part."""
    model, params, test = trained.model, trained.params, prepared.problem.test_examples
    keys, example = keys_of(trained.member.seed), prepared.recipe.kind.example
    surgery_key, nll_key, ais_key = jax.random.split(keys.further_evaluation, 3)
    yield "decomposing the rate", lambda: measure_surgery(model, params, surgery_key, test, options.surgery_points)

    if options.nll_samples:
        yield (
            f"importance sampling, {options.nll_samples:,} samples for each {example}",
            lambda: nll_with_progress(model, params, nll_key, test, options.nll_samples, example),
        )
    default = _DEFAULT_AIS_IMAGES if _has_real_code(prepared, trained) else 0
    num_images = default if options.ais_images is None else options.ais_images
    if not num_images:
        return
    chains, temperatures = options.ais_chains, options.ais_temperatures
    first = jax.tree.map(lambda leaf: leaf[:num_images], test)
    start = {"posterior": from_posterior, "prior": from_prior}[options.ais_start]

    yield (
        f"annealed importance sampling of {num_images} test {example}s and {num_images} {example}s drawn from the "
        f"model, {chains} chains for each over {temperatures:,} temperatures",
        # Importance sampling of the first images uses the same draws as above.
        lambda: annealing_with_progress(
            model, params, ais_key, first, chains, temperatures, nll_key, options.nll_samples, start, example
        ),
    )
