"""A finished run measured further: its numbers are added to `summary.json`, its report is written anew."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import tyro

from vae_jax.data import load_images, stream_images
from vae_jax.evaluation import from_posterior, from_prior, measure_surgery
from vae_jax.evaluation.require import require_density
from vae_jax.experiment.environment import device_name
from vae_jax.experiment.loaded import load_method_run
from vae_jax.experiment.long_measurements import annealing_with_progress, nll_with_progress
from vae_jax.experiment.problem import make_problem
from vae_jax.experiment.progress import say
from vae_jax.experiment.settings import Settings
from vae_jax.experiment.summaries import add_to_summary
from vae_jax.experiment.trained import Trained, draw_figures, keys_of, measure, write_trained_report
from vae_jax.runs import RunFolder

_DEFAULT_AIS_IMAGES = 10  # or all, where the test images are fewer


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a finished run further: how likely its test images are, and what its code carries.

    With `--metrics disentanglement`, of a run whose data has known factors, it scores the code against them instead.

    Adds to RUN/summary.json, and writes RUN/report.html anew: the importance-sampled negative log-likelihood with its
    effective sample size and Pareto k; active units and the KL of each dimension; the parts of the rate (mutual
    information, total correlation, dimension-wise KL); and last, of a few images, bounds by annealed importance
    sampling, which may be interrupted without loss of the others. The last line on stdout is the summary as JSON. The
    data of the run must be found where it was.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run, such as runs/vae-digits-20250131-120000-seed0"""
    nll_samples: int = 5000
    """importance samples a test image, for the negative log-likelihood; time grows with it, memory does not; 0: do
    not measure it"""
    surgery_points: int | None = None
    """draws of z over which the parts of the rate are averaged; None: one a test image"""
    ais_images: int | None = None
    """test images, the first so many, for annealed importance sampling, and as many that the model itself draws, for
    the gap between two bounds; slow (some seconds an image); None: 10, but none where z is not of real numbers; 0:
    leave it out"""
    ais_chains: int = 16
    """of annealed importance sampling, an image"""
    ais_temperatures: int = 1000
    """of annealed importance sampling, from its start to the true posterior; more are slower and closer"""
    ais_start: Literal["posterior", "prior"] = "posterior"
    """where the chains of annealed importance sampling start; the prior where the posterior is far too narrow"""
    metrics: Literal["likelihood", "disentanglement"] = "likelihood"
    """likelihood: the parts above; disentanglement: scores against the known factors of the run's data, instead"""
    points: int = 10_000
    """of disentanglement: images or votes that a score is fitted to, and half as many that it is tested on"""
    dci_points: int | None = None
    """the same for DCI alone, whose boosted trees take minutes a model with 10,000; None: as --points"""
    seed: int | None = None
    """of a run of several models (--seeds), the one to measure; None: the one that the report's figures show"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""


class Part(NamedTuple):
    """One part of the evaluation: what is said of it, and what makes its numbers."""

    words: str
    measure: Callable[[], dict[str, Any]]


def prepare_evaluation(options: Evaluate) -> Trained:
    """The run with its model and data, all that can be checked checked; nothing is written.

    Raises:
      ValueError, TypeError: where an option is out of range, or RUN is not the folder of a run that can be measured.
    """
    at_least = {"nll_samples": 0, "ais_images": 0, "ais_chains": 1, "ais_temperatures": 1, "surgery_points": 1}
    for name, least in at_least.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    trained = open_run(options.run, options.data_dir, options.seed)
    if options.ais_images is not None and options.ais_images > len(trained.problem.test):
        raise ValueError(
            f"--ais-images must be at most the {len(trained.problem.test)} test images, got {options.ais_images}"
        )
    model, params, x = trained.model, trained.params, trained.problem.test[0]
    require_density(
        f"RUN {options.run}: the posterior of its model",
        lambda: model.encode(params, x),
        "without one there is neither a likelihood nor a rate; give a run whose posterior has one, such as of "
        "experiments.vae",
    )
    if options.ais_images and not _has_real_code(trained):
        raise ValueError(f"--ais-images needs a z of real numbers, which RUN {options.run} has not: leave it out")
    return trained


def _has_real_code(trained: Trained) -> bool:
    """Whether z is of real numbers in all its parts, so that HMC can move it."""
    code = jax.eval_shape(lambda: trained.model.prior(trained.params).sample(jax.random.key(0)))
    return all(jnp.issubdtype(part.dtype, jnp.floating) for part in jax.tree.leaves(code))


def open_run(path: Path, data_dir: str | None = None, seed: int | None = None) -> Trained:
    """The run in a folder as it was when its training ended, with the parameters of its best epoch, and its data.

    Of a run of several models it is the one of that seed, or of the seed that the report shows.

    Raises:
      ValueError: where the folder is not that of a finished run with a checkpoint, or its experiment or data are not
        to be found.
    """
    folder = RunFolder(path, "RUN")
    method, loaded = load_method_run(folder, seed)
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
    expected = (folder.summary() or {}).get("test_images")
    if len(problem.test) != expected:
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
    """Measures part by part, each added to `summary.json` as soon as it is there; then the report. The summary."""
    started = time.monotonic()
    folder, test, seed = trained.folder, trained.problem.test, trained.settings.seed
    say(f"{trained.method.name} on {trained.images.name}, {len(test)} test images; {device_name()}; {folder.path}")
    measures = measure(trained, 0)
    summary = add_to_summary(folder, seed, measures.summary)
    if "models" in summary:
        summary = folder.add_to_summary({"shown_seed": seed})
    for part in _parts(trained, options):
        say(part.words)
        numbers = part.measure()
        summary = add_to_summary(folder, seed, numbers)
        for name in ("nll_warning", "ais_warning"):
            if numbers.get(name):
                say(f"warning: {numbers[name]}")
    say("drawing the figures")
    own = next((model for model in summary.get("models", ()) if model["seed"] == seed), summary)
    figures = draw_figures(trained, measures, own)
    seconds = round(time.monotonic() - started, 2)
    summary = folder.add_to_summary({"evaluation_seconds": seconds, "evaluation_device": device_name()})
    write_trained_report(trained, summary, figures)
    return summary


def _parts(trained: Trained, options: Evaluate) -> Iterator[Part]:
    model, params, test = trained.model, trained.params, trained.problem.test
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
    chains, temperatures, xs = options.ais_chains, options.ais_temperatures, test[:num_images]
    start = {"posterior": from_posterior, "prior": from_prior}[options.ais_start]

    yield Part(
        f"annealing of {len(xs)} test images and {len(xs)} of the model's own, {chains} chains each over "
        f"{temperatures:,} temperatures",
        # By the draws of the nll above: the mean of the first images alone.
        lambda: annealing_with_progress(
            model, params, ais_key, xs, chains, temperatures, nll_key, options.nll_samples, start
        ),
    )
