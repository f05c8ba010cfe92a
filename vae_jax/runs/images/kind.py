"""Runs on images: resolution of their settings, measurements and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import Images, ImageStream, load_images, stream_images
from vae_jax.evaluation import Measures, bits_per_dimension, impute_examples, measure_autoencoder, measure_vq_vae
from vae_jax.runs import per_seed
from vae_jax.runs.checks import check_data_dir
from vae_jax.runs.choices import OBJECTIVES
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.masks import hide_at_random, with_mask_file
from vae_jax.runs.images.problem import (
    AnySettings,
    Problem,
    is_masked,
    make_problem,
    num_classes_of,
    without_data,
)
from vae_jax.runs.images.vae import describe_kl
from vae_jax.runs.keys import keys_of
from vae_jax.runs.limits import flag_of
from vae_jax.runs.machine import device_name
from vae_jax.runs.recipe import Kind, PreparedRun, TrainedModel
from vae_jax.runs.reporting.report import save_figures
from vae_jax.runs.reporting.report_page import ReportFigure
from vae_jax.runs.settings import Loss, Settings
from vae_jax.visualization._model_figures import (
    NUM_RECONSTRUCTIONS,
    Subject,
    code_figures,
    model_figures,
    surgery_figures,
)

_IMPORTANCE_SAMPLES = 100  # for each image whose missing pixels are shown


def load_data(settings: AnySettings) -> Images | ImageStream:
    """Loads the images that the settings name.

    Raises:
      ValueError: if the data cannot be loaded, or is not a TFDS dataset although a folder of TFDS datasets is given.
    """
    check_data_dir(settings.data, settings.data_dir)
    if settings.stream:
        return stream_images(settings.data, settings.data_dir, size=settings.size)
    images = load_images(settings.data, settings.data_dir, size=settings.size)
    if settings.missing is not None:
        return hide_at_random(images, settings.missing)
    return images if settings.mask_file is None else with_mask_file(images, settings.mask_file)


def resolve(settings: AnySettings, images: Images | ImageStream) -> Any:
    """Settings in which all values that depend on the data are filled in, as `config.json` has them.

    Raises:
      ValueError: if a number is out of range, or settings contradict one another or the images.
    """
    total = images.train.shape[0]
    likelihood = settings.likelihood
    if likelihood == "auto":
        usual = "bernoulli" if images.train.shape[-1] == 1 else "logistic"
        refused = OBJECTIVES.of(settings).not_with.get("likelihood", ()) if isinstance(settings, Loss) else ()
        likelihood = next(name for name in (usual, "normal") if name not in refused)
    binarization = settings.binarization
    if binarization == "auto":
        binarization = "dynamic" if likelihood == "bernoulli" else "none"
    validation_size = _validation_size(settings, images)
    training, counted = total, f"{total} less {validation_size} for validation"
    if images.validation is None:
        training -= validation_size
    else:
        counted = f"beside {validation_size} for validation"
    return dataclasses.replace(
        settings,
        likelihood=likelihood,
        binarization=binarization,
        validation_size=validation_size,
        batch_size=per_seed.batch_size(settings, training, counted, "images"),
    )


def check(settings: AnySettings) -> None:
    """Raises ValueError if settings of a run on images contradict one another, or are those of a table."""
    for name in ("columns", "hide_cells"):
        if (value := getattr(settings, name, None)) not in ((), None):
            given = " ".join(value) if isinstance(value, tuple) else value
            raise ValueError(f"--{flag_of(name)} {given} is for tables, and {settings.data} is not one: leave it out")
    if settings.stream and settings.binarization == "static":
        raise ValueError(
            "--stream reads images batch by batch, but --binarization static draws the bits of all images at once: "
            "leave one out"
        )
    if settings.stream and settings.condition != "none":
        raise ValueError(
            f"--stream reads images without their labels, which --condition {settings.condition} needs: leave one out"
        )
    _check_missing(settings)
    if settings.stream and settings.seeds > 1:
        raise ValueError(f"--stream trains one model at a time, got --seeds {settings.seeds}")


def _check_missing(settings: AnySettings) -> None:
    if not is_masked(settings):
        return
    if settings.missing is not None and settings.mask_file is not None:
        raise ValueError("--missing draws masks, and --mask-file reads them: leave one out")
    given = "--mask-file" if settings.missing is None else f"--missing {settings.missing}"
    if settings.missing is not None and not 0.0 < settings.missing < 1.0:
        raise ValueError(f"{given} must be between 0 and 1, the share of hidden pixels")
    if settings.stream:
        raise ValueError(f"--stream reads images without masks, which {given} needs: leave one out")
    if settings.condition != "none":
        raise ValueError(f"--condition {settings.condition} and {given}: a model takes labels or masks: leave one out")
    if isinstance(settings, Loss) and settings.objective == "optimal_variance":
        raise ValueError(f"--objective optimal_variance needs all pixels: give another objective with {given}")
    if getattr(settings, "prior", None) == "vamp":
        raise ValueError(f"--prior vamp encodes pseudo-inputs, which have no masks: give another prior with {given}")


def _validation_size(settings: AnySettings, images: Images | ImageStream) -> int:
    """Number of validation images: the size of the data's own validation split, or images held out of train."""
    total, own = images.train.shape[0], images.validation
    if own is not None:
        if settings.validation_size not in (None, len(own)):
            raise ValueError(
                f"--validation-size {settings.validation_size} would hold out training images, but {images.name} has a "
                f"validation split of {len(own)} images: leave --validation-size out"
            )
        return len(own)
    return per_seed.validation_size(settings, total)


def _opening(prepared: PreparedRun) -> str:
    settings, problem = prepared.settings, prepared.problem
    counts = f"{problem.train.shape[0]} training, {len(problem.validation)} validation, {len(problem.test)} test images"
    models = f"{settings.seeds} models at once, " if settings.seeds > 1 else ""
    about = f"{prepared.recipe.name} on {prepared.data.name}: {models}{counts}; {describe_kl(prepared)}"
    return "\n".join([f"{about}{device_name()}; in {prepared.folder.path}", *_notes(prepared)])


def _notes(prepared: PreparedRun) -> Iterator[str]:
    """Lines about settings that have no effect, or another effect than their numbers say."""
    recipe, settings, count = prepared.recipe, prepared.settings, prepared.problem.num_examples
    if recipe.measure is not None and recipe.measure(settings) in (measure_autoencoder, measure_vq_vae):
        for name in ("elbo_samples", "nll_samples"):
            if (given := getattr(settings, name)) != getattr(recipe.defaults, name):
                yield f"--{flag_of(name)} {given} is not used: nothing is sampled to measure this model"
    for name in ("k_means_images", "prior_batch_size"):
        if (given := getattr(settings, name, 0)) > count:
            yield f"--{flag_of(name)} {given}: all {count} training images are taken, as there are no more"
    if isinstance(settings, Settings) and settings.kl_warm_up > settings.epochs:
        yield (
            f"warning: --kl-warm-up {settings.kl_warm_up} is longer than --epochs {settings.epochs}: no epoch counts "
            "as the best or stops training early, and the parameters of the last epoch are saved"
        )


def measure(prepared: PreparedRun, trained: TrainedModel, nll_samples: int) -> Measures:
    """Measures a model on the test images, with bits per dimension if they are defined."""
    problem, measures = prepared.problem, per_seed.measure(prepared, trained, nll_samples)
    bound = measures.summary["negative_elbo"]
    # Defined only for a likelihood of 8-bit pixels, all of which are observed, not for black and white.
    if bound is not None and problem.likelihood.levels is not None and not problem.contexts.masked:
        bits = bits_per_dimension(bound, problem.test[0].size, problem.likelihood.levels)
        measures = measures._replace(summary=measures.summary | {"bits_per_dim": bits})
    return measures


def draw(
    prepared: PreparedRun, trained: TrainedModel, measures: Measures, summary: Mapping[str, Any]
) -> list[ReportFigure]:
    """Saves every figure that can be drawn from the model and its summary, in the order of the report."""
    problem: Problem = prepared.problem
    key = keys_of(trained.member.seed).figures
    subject = Subject(
        trained.model,
        trained.params,
        problem.test,
        problem.test_labels,
        measures.posterior_means,
        measures.kl_per_dimension,
        trained.history,
        problem.num_classes,
        jnp.asarray(problem.test_contexts) if problem.contexts.masked else None,
        _imputed(problem, trained, jax.random.fold_in(key, 1)) if problem.contexts.masked else None,
    )
    captioned = (*model_figures(subject, key), *code_figures(summary), *surgery_figures(summary))
    return save_figures(prepared.folder, captioned)


def _imputed(problem: Problem, trained: TrainedModel, key: jax.Array) -> jax.Array | None:
    """The first test images with their missing pixels filled in; None if the posterior has no density."""
    first = jax.tree.map(lambda leaf: leaf[:NUM_RECONSTRUCTIONS], problem.test_examples)
    try:
        filled: jax.Array = impute_examples(trained.model, trained.params, key, first, _IMPORTANCE_SAMPLES).value
    except TypeError:
        return None
    return filled


def _problem(settings: AnySettings, images: Images | ImageStream, folder: RunFolder | None) -> Problem:
    problem = make_problem(settings, images)
    expected = None if folder is None else folder.about().get("image_shape")
    if expected not in (None, list(problem.image_shape)):
        raise ValueError(
            f"{folder} was made with images of {_shape(expected)}, but --data {settings.data} now has images of "
            f"{_shape(problem.image_shape)}: give it the data that it was made with"
        )
    return problem


def _without_data(settings: AnySettings, folder: RunFolder) -> Problem:
    num_classes = None if settings.condition == "none" else num_classes_of(folder)
    return without_data(settings, folder.image_shape(), num_classes)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _show(settings: AnySettings, images: Images | ImageStream) -> tuple[Any, ...]:
    problem = make_problem(settings, images)
    masks = problem.test_contexts if problem.contexts.masked else None
    return np.asarray(images.test), problem.test, problem.test_labels, masks


IMAGES = Kind(
    load=load_data,
    resolve=resolve,
    problem=_problem,
    without_data=_without_data,
    members=per_seed.members,
    alone=per_seed.alone,
    length=per_seed.length,
    default_name=lambda settings, stamp: f"{Path(settings.data).stem}-{stamp}-seed{settings.seed}",
    opening=_opening,
    finish=per_seed.finish,
    redraw=per_seed.redraw,
    show=_show,
    measure=measure,
    draw=draw,
    changeable=per_seed.changeable,
)
