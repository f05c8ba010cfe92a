"""One row of a published table: models trained for every seed, each in a folder of its own, measured and recorded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vae_jax.evaluation import measure_nll, measure_vae
from vae_jax.experiment.environment import device_name, versions
from vae_jax.experiment.progress import CountDisplay, ProgressDisplay
from vae_jax.experiment.resumable import train_in_folder
from vae_jax.models.vae import VAE, Params
from vae_jax.objectives import Objective, on_prepared
from vae_jax.results import Claim, Record, write_record
from vae_jax.runs import RunFolder, defined
from vae_jax.training import Progress, steps_per_epoch
from vae_jax.visualization import bounds_by_epoch, save_figure

# Epochs whose validation loss a record keeps: enough for a curve on a logarithmic axis.
_CURVE_POINTS = 60
_ELBO_SAMPLES = 16
# The same draws for every model: no training seed reaches it.
_MEASURING_SEED = 2**32 - 1


class Variant(NamedTuple):
    """One model of a row."""

    name: str  # of its run folders
    claim: str  # in words
    model: VAE
    objective: Objective  # of images as the model sees them
    paper: float | None = None  # the published nll
    bar: float | None = None  # the nll that is to be reached
    paper_active_units: int | None = None


class Recipe(NamedTuple):
    """How every variant of a row is trained."""

    protocol: str  # in words
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int
    params: Callable[[Progress], Params]  # those that are measured
    patience: int | None = None


class Row(NamedTuple):
    """What `prepare_row` checks, and what it returns trains, measures and records."""

    title: str
    variants: Sequence[Variant]
    recipe: Recipe
    difference_bar: float | None = None  # of two variants: how high the second's nll less the first's may be


class Images(NamedTuple):
    """What a row is trained and measured on."""

    train: np.ndarray  # uint8 [N, H, W, C]
    validation: np.ndarray
    test: jax.Array  # [L, H, W, C], as the models see them


def prepare_row(
    row: Row,
    images: Images,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    seeds: Sequence[int],
    nll_samples: int,
    runs: Path,
    docs: Path,
    name: str,
    command: str,
) -> Callable[[], Record]:
    """Checks all that can be, and returns what trains and measures every variant for every seed.

    After each seed that writes docs/results/NAME.json anew, and docs/images/NAME.png: the bound on the validation
    images against epochs. What has been trained or measured before in `runs` is not done again.

    Args:
      row: what to do.
      images: what to do it on.
      prepare: (key, uint8 batch) -> what the models see, at every read of a training image.
      seeds: one run of every variant each.
      nll_samples: K, importance samples a test image, at least 1.
      runs: the folder of the run folders, VARIANT-seedN.
      docs: the folder of results/ and images/, which are made where they are not there.
      name: of the record and the picture, without a suffix.
      command: what the record says it was made by.

    Raises:
      ValueError: where there is no seed, nll_samples is below 1, there is no test image, the recipe's batch does not
        fit the training images, or a run folder holds a run of another recipe.
      FloatingPointError: by what is returned, where the nll of a model is not finite; its summary.json has the rest.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be one or more different numbers, got {tuple(seeds)}")
    if nll_samples < 1:
        raise ValueError(f"nll_samples must be at least 1, got {nll_samples}")
    if not len(images.test):
        raise ValueError("test must hold at least 1 image")
    steps_per_epoch(len(images.train), row.recipe.batch_size)
    for seed, variant in itertools.product(seeds, row.variants):
        folder, config = _folder_of(variant, row.recipe, seed, runs)
        if folder.exists():
            folder.check_same(config)

    def run() -> Record:
        results: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in row.variants}
        for done, seed in enumerate(seeds, start=1):
            for variant in row.variants:
                results[variant.name].append(_run(variant, row.recipe, images, prepare, seed, nll_samples, runs))
            record = Record(
                title=row.title,
                protocol=f"{row.recipe.protocol}; {len(images.train)} training images, their pixels drawn anew at "
                f"every read; nll of {len(images.test)} test images by K = {nll_samples} importance samples each.",
                command=command,
                claims=[claim for variant in row.variants for claim in _claims(variant, results[variant.name])]
                + _difference(row, results),
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
    """The folder of a run, and the configuration that it has or is given."""
    config = {"variant": variant.name, "recipe": recipe.protocol, "seed": seed}
    return RunFolder(runs / f"{variant.name}-seed{seed}", "--runs"), config


def _run(
    variant: Variant,
    recipe: Recipe,
    images: Images,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    seed: int,
    nll_samples: int,
    runs: Path,
) -> dict[str, Any]:
    """One variant and seed: trained or continued, and measured unless the folder has the same measurement."""
    started = time.monotonic()
    folder, config = _folder_of(variant, recipe, seed, runs)
    if not folder.exists():
        folder.create(config)
    with ProgressDisplay(recipe.epochs) as display:
        display.say(f"{variant.claim}, seed {seed}; in {folder.path}")
        progress, _, seconds = train_in_folder(
            folder,
            config,
            display,
            variant.model,
            on_prepared(variant.objective, prepare),
            recipe.optimizer,
            images.train,
            images.validation,
            jax.random.key(seed),
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            patience=recipe.patience,
            started=started,
        )
    wanted = {"nll_samples": nll_samples, "test_images": len(images.test)}
    summary = folder.summary()
    if summary is None or any(summary.get(name) != value for name, value in wanted.items()):
        elbo_key, nll_key = jax.random.split(jax.random.key(_MEASURING_SEED))
        params = recipe.params(progress)
        measures = measure_vae(variant.model, params, elbo_key, images.test, _ELBO_SAMPLES, 0)
        with CountDisplay("importance sampling", len(images.test)) as counter:
            nll = measure_nll(
                variant.model, params, nll_key, images.test, nll_samples, lambda b: counter.add(len(b.log_likelihood))
            )
        epochs = len(progress.history)
        summary = {**config, **measures.summary, **nll, **wanted, "epochs": epochs, "best_epoch": progress.best_epoch}
        summary |= {"wall_seconds": seconds(), "validation_loss_by_epoch": _curve(progress)}
        folder.write_summary(defined(summary))
        if not np.isfinite(nll["nll"]):
            raise FloatingPointError(f"{folder.path}: {nll['nll_warning']}")
    return summary


def _curve(progress: Progress) -> dict[int, float]:
    last = len(progress.history)
    epochs = np.unique(np.geomspace(1, last, min(last, _CURVE_POINTS)).round().astype(int)).tolist()
    return {epoch: round(progress.history[epoch - 1]["validation/loss"], 3) for epoch in epochs}


def _by_epoch(summary: Mapping[str, Any]) -> dict[int, float]:
    """The curve of a summary, which as JSON has words for the epochs."""
    return {int(epoch): loss for epoch, loss in summary["validation_loss_by_epoch"].items()}


def _claims(variant: Variant, results: Sequence[Mapping[str, Any]]) -> list[Claim]:
    nll = Claim(f"nll, {variant.claim}", "nats", [r["nll"] for r in results], variant.paper, variant.bar)
    heavy = [100 * r["pareto_k_above_limit"] for r in results]
    units = np.array([np.atleast_1d(r["active_units"]) for r in results])  # [seeds, stochastic layers]
    layers = [f", layer {i}" for i in range(1, units.shape[1] + 1)] if units.shape[1] > 1 else [""]
    return [
        nll,
        Claim(f"test images whose Pareto k is above its limit, {variant.claim}", "%", heavy),
        Claim(f"negative ELBO, {variant.claim}", "nats", [r["negative_elbo"] for r in results]),
        *(
            Claim(f"active units, {variant.claim}{layer}", "", counts.tolist(), variant.paper_active_units)
            for layer, counts in zip(layers, units.T, strict=True)
        ),
    ]


def _difference(row: Row, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Claim]:
    if row.difference_bar is None:
        return []
    first, second = row.variants
    differences = [b["nll"] - a["nll"] for a, b in zip(results[first.name], results[second.name], strict=True)]
    return [
        Claim(f"nll, {second.claim} less {first.claim}", "nats", differences, at_most=row.difference_bar),
        Claim("the same, the highest of the seeds", "nats", [max(differences)], at_most=row.difference_bar),
    ]
