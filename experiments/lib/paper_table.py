"""Training, measuring and recording of a published table's row, for every seed and each in its own run folder."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.lib.paper_row import Images, Measuring, Recipe, Row, Variant, claims_of, protocol_of
from experiments.lib.records import Record, write_record
from vae_jax.evaluation import measure_vae
from vae_jax.objectives import with_preprocessing
from vae_jax.runs.fitting.in_folder import train_in_folder
from vae_jax.runs.fitting.resume import restore_if_damaged
from vae_jax.runs.folder import RunFolder, defined
from vae_jax.runs.images.long_measurements import annealing_with_progress, nll_with_progress
from vae_jax.runs.machine import device_name, versions
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.training import Progress, fit, steps_per_epoch
from vae_jax.visualization import bounds_by_epoch, save_figure

# Epochs whose validation loss is recorded: enough for a curve on a logarithmic axis.
_CURVE_POINTS = 60
_ELBO_SAMPLES = 16
# All models are measured with the same draws, of a seed that no training uses.
_MEASURING_SEED = 2**32 - 1


def prepare_row(
    row: Row,
    images: Images,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    measuring: Measuring,
    *,
    seeds: Sequence[int],
    runs: Path,
    docs: Path,
    name: str,
    command: str,
) -> Callable[[], Record]:
    """Checks the settings, and returns a function that trains and measures every variant for every seed.

    After each seed, that function rewrites docs/results/NAME.json and docs/images/NAME.png, a figure of the bound on
    the validation images against epochs. Models that were trained or measured before in `runs` are not trained or
    measured again.

    Args:
      row: models and recipe.
      images: images for training and measuring.
      prepare: preprocessing (key, uint8 batch) -> batch, applied at every read of a training image.
      measuring: settings for measuring the trained models.
      seeds: random seeds; every variant is trained for each.
      runs: folder of the run folders, VARIANT-seedN.
      docs: folder of results/ and images/, which are created if they do not exist.
      name: name of the record and the figure, without a suffix.
      command: command to name in the record.

    Raises:
      ValueError: if there is no seed, a setting of measuring is out of range, there is no test image, the recipe's
        batch does not fit the training images, or a run folder holds a run of another recipe.
      FloatingPointError: by the returned function, if the nll of a model is not finite; its summary.json has its other
        numbers.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        given = " ".join(map(str, seeds)) or "none"
        raise ValueError(f"seeds must be one or more different numbers, got {given}")
    for field in ("nll_samples", "ais_chains", "ais_temperatures"):
        if (value := getattr(measuring, field)) < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")
    if not len(images.test):
        raise ValueError("test must hold at least 1 image")
    if not 0 <= (ais_images := measuring.ais_images) <= len(images.test):
        raise ValueError(f"ais_images must be between 0 and the {len(images.test)} test images, got {ais_images}")
    steps_per_epoch(len(images.train), row.recipe.batch_size)
    for seed, variant in itertools.product(seeds, row.variants):
        folder, config = _folder_of(variant, row.recipe, seed, runs)
        if folder.exists():
            folder.check_same(config)

    def run() -> Record:
        results: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in row.variants}
        for done, seed in enumerate(seeds, start=1):
            for variant in row.variants:
                results[variant.name].append(_run(variant, row.recipe, images, prepare, measuring, seed, runs))
            record = Record(
                title=row.title,
                protocol=protocol_of(row, images, measuring),
                command=command,
                claims=claims_of(row, results, measuring),
                seeds=list(seeds[:done]),
                wall_seconds=[sum(runs_of[i]["wall_seconds"] for runs_of in results.values()) for i in range(done)],
                device=device_name(),
                versions=versions(),
                details=results,
            )
            write_record(docs / f"results/{name}.json", record)
            figure = docs / f"images/{name}.png"
            figure.parent.mkdir(parents=True, exist_ok=True)
            curves = {variant.claim: [_by_epoch(r) for r in results[variant.name]] for variant in row.variants}
            save_figure(bounds_by_epoch(curves), figure)
        return record

    return run


def _folder_of(variant: Variant, recipe: Recipe, seed: int, runs: Path) -> tuple[RunFolder, dict[str, Any]]:
    """Folder of a run, and its configuration."""
    config = {"variant": variant.name, "recipe": recipe.protocol, "seed": seed}
    return RunFolder(runs / f"{variant.name}-seed{seed}", "--runs"), config


def _run(
    variant: Variant,
    recipe: Recipe,
    images: Images,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    measuring: Measuring,
    seed: int,
    runs: Path,
) -> dict[str, Any]:
    """Trains or continues one variant and seed, and measures it unless its folder has the same measurement."""
    folder, config = _folder_of(variant, recipe, seed, runs)
    if folder.exists():
        restore_if_damaged(folder)
        folder.lock()
    else:
        folder.create(config)
    try:
        return _run_in(folder, config, variant, recipe, images, prepare, measuring, seed)
    finally:
        folder.unlock()


def _run_in(
    folder: RunFolder,
    config: Mapping[str, Any],
    variant: Variant,
    recipe: Recipe,
    images: Images,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    measuring: Measuring,
    seed: int,
) -> dict[str, Any]:
    started = time.monotonic()
    key = jax.random.key(seed)
    with ProgressDisplay(recipe.epochs) as display:
        display.say(f"{variant.claim}, seed {seed}; in {folder.path}")
        training = train_in_folder(
            folder,
            config,
            display,
            key,
            started,
            partial(
                fit,
                variant.model,
                with_preprocessing(variant.objective, prepare),
                recipe.optimizer,
                images.train,
                images.validation,
                key,
                epochs=recipe.epochs,
                batch_size=recipe.batch_size,
                patience=recipe.patience,
            ),
        )
    model, params = variant.model, recipe.params(training.progress)
    elbo_key, nll_key, ais_key = jax.random.split(jax.random.key(_MEASURING_SEED), 3)
    summary = folder.summary() or {}
    wanted = {"nll_samples": measuring.nll_samples, "test_images": len(images.test)}
    if not wanted.items() <= summary.items():
        measures = measure_vae(model, params, elbo_key, images.test, _ELBO_SAMPLES, 0)
        nll = nll_with_progress(model, params, nll_key, images.test, measuring.nll_samples)
        history = _history(training.progress) | {"wall_seconds": training.seconds()}
        summary = defined({**config, **measures.summary, **nll, **wanted, **history})
        folder.write_summary(summary)
    if summary["nll"] is None:
        raise FloatingPointError(f"{folder.path}: {summary['nll_warning']}")
    xs, chains, temperatures = images.test[: measuring.ais_images], measuring.ais_chains, measuring.ais_temperatures
    wanted = {"ais_images": len(xs), "ais_chains": chains, "ais_temperatures": temperatures}
    if len(xs) and not wanted.items() <= summary.items():
        measured = time.monotonic()
        numbers = annealing_with_progress(
            model, params, ais_key, xs, chains, temperatures, nll_key, measuring.nll_samples
        )
        seconds = round(summary["wall_seconds"] + time.monotonic() - measured, 2)
        summary = folder.add_to_summary({**numbers, "wall_seconds": seconds})
    return summary


def _history(progress: Progress) -> dict[str, Any]:
    """Number of epochs, best epoch, and the validation loss at enough epochs for a curve, by the epoch as text."""
    last = len(progress.history)
    epochs = np.unique(np.geomspace(1, last, min(last, _CURVE_POINTS)).round().astype(int)).tolist()
    losses = {str(epoch): round(progress.history[epoch - 1]["validation/loss"], 3) for epoch in epochs}
    return {"epochs": last, "best_epoch": progress.best_epoch, "validation_loss_by_epoch": losses}


def _by_epoch(summary: Mapping[str, Any]) -> dict[int, float]:
    return {int(epoch): loss for epoch, loss in summary["validation_loss_by_epoch"].items()}
