"""`vae-jax sample`, `reconstruct`, `interpolate` and `traverse`: pictures made with a trained model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.atomic import check_writable
from vae_jax.cli.inputs import check_label, check_no_masks, images, is_of_table, load, load_for_images
from vae_jax.cli.options import Interpolate, Reconstruct, Sample, Traverse
from vae_jax.cli.output import new_file
from vae_jax.cli.tables import prepare_sample_rows
from vae_jax.distributions import UndefinedError
from vae_jax.evaluation import kl_per_dimension
from vae_jax.models import great_circle, interpolate, reconstruct, sample, straight_line, traverse
from vae_jax.models._model import given
from vae_jax.runs.loading import Loaded, images_of
from vae_jax.runs.progress import say, working
from vae_jax.text import printable
from vae_jax.visualization import (
    image_grid,
    images_by_label,
    interpolations,
    reconstructions,
    save_figure,
    save_images,
    traversal,
    with_gray,
)
from vae_jax.visualization._model_figures import traversed_values
from vae_jax.visualization._picture_files import check_new_folder

_MOST_STEPS = 101  # images in a row
_MOST_SAMPLES = 10_000


def prepare_sample(options: Sample) -> Callable[[], None]:
    loaded = load(options)
    if is_of_table(loaded):
        return prepare_sample_rows(options, loaded)
    if options.count > _MOST_SAMPLES:
        raise ValueError(f"--count must be at most {_MOST_SAMPLES:,} images, got {options.count:,}")
    if options.files is None:
        output = new_file(options.output, "sample.png")
    else:
        _check_files(options.files, options.output)
    check_label(options.label, loaded)
    labels = None
    if loaded.contexts.masked:
        labels = loaded.contexts.of(jnp.zeros((options.count, *loaded.image_shape)))
    if loaded.num_classes is not None:
        in_turn = np.arange(options.count) % loaded.num_classes
        labels = jnp.asarray(in_turn if options.label is None else np.full(options.count, options.label), jnp.int32)

    def drawn() -> jax.Array:
        keys = jax.random.split(jax.random.key(options.random_seed), options.count)
        draw_one = jax.jit(lambda one: sample(given(loaded.model, one[1]), loaded.params, one[0]))
        # In batches: one image needs little memory, but a prior over codes takes many steps for each.
        return jax.lax.map(draw_one, (keys, labels), batch_size=min(64, options.count))

    if options.files is not None:
        return partial(_write_files, drawn, None if loaded.contexts.masked else labels, options.files)
    in_rows = loaded.num_classes if options.label is None else None
    draw = lambda: image_grid(drawn()) if in_rows is None else _by_label(np.asarray(drawn()), in_rows)
    return lambda: write_picture(draw, output)


def _check_files(folder: Path, output: Path | None) -> None:
    if output is not None:
        raise ValueError("--output names one picture, and --files a folder of single images: give one of the two flags")
    check_new_folder("--files", folder)
    check_writable(folder, "--files")


def _write_files(draw: Callable[[], jax.Array], labels: jax.Array | None, folder: Path) -> None:
    with working("drawing"):
        images = np.asarray(draw())
        of_labels = [""] * len(images) if labels is None else [f"_label{label}" for label in labels.tolist()]
        save_images(images, folder, [f"{i:04d}{label}" for i, label in enumerate(of_labels)])
    print(f"pictures: {printable(folder)}, {len(images)} files")


def _by_label(images: np.ndarray, num_classes: int) -> Any:
    """Figure with a row for each label, of images whose labels come in turn; a plain grid below two images a label."""
    if len(images) < 2 * num_classes:
        repeated = ", then from 0 again" * (len(images) > num_classes)
        say(f"the labels of the images are, row by row, 0 to {min(num_classes, len(images)) - 1}{repeated}")
        return image_grid(images)
    columns = -(-len(images) // num_classes)
    cells = np.ones((columns * num_classes, *images.shape[1:]), images.dtype)  # white, like the background
    cells[: len(images)] = images
    by_label = cells.reshape(columns, num_classes, *images.shape[1:]).swapaxes(0, 1)
    return images_by_label(by_label, np.arange(num_classes))


def prepare_reconstruct(options: Reconstruct) -> Callable[[], None]:
    if not options.images_:
        raise ValueError("IMAGE: give at least one picture file, or the number of a test image")
    loaded = load_for_images(options, "reconstruct")
    xs, contexts = images(options, loaded, options.images_)
    output = new_file(options.output, "reconstruct.png")
    one = lambda x, context: reconstruct(given(loaded.model, context), loaded.params, x)
    shown = xs if contexts is None or not loaded.contexts.masked else with_gray(xs, contexts)
    return lambda: write_picture(lambda: reconstructions(shown, jax.jit(jax.vmap(one))(xs, contexts)), output)


def prepare_interpolate(options: Interpolate) -> Callable[[], None]:
    _check_steps(options.steps)
    loaded = load_for_images(options, "interpolate")
    check_no_masks(loaded, "interpolate")
    (x0, x1), labels = images(options, loaded, (options.a, options.b), "A or B")
    if labels is not None and labels[0] != labels[1]:
        raise ValueError(
            f"A {options.a} has label {labels[0]} and B {options.b} has label {labels[1]}, but a path needs one label: "
            "give --label"
        )
    label = None if labels is None else labels[0]
    output = new_file(options.output, "interpolate.png")

    def along(path: Callable[..., jax.Array]) -> jax.Array:
        walk = lambda a, b, label: interpolate(given(loaded.model, label), loaded.params, a, b, options.steps, path)
        return jax.jit(walk)(x0, x1, label)

    draw = lambda: interpolations(along(straight_line)[None], along(great_circle)[None])
    return lambda: write_picture(draw, output)


def prepare_traverse(options: Traverse) -> Callable[[], None]:
    _check_steps(options.steps)
    loaded = load_for_images(options, "traverse")
    check_no_masks(loaded, "traverse")
    (x, *_), labels = images(options, loaded, (options.image,), "--image")
    label = None if labels is None else labels[0]
    prior = given(loaded.model, label).prior(loaded.params)
    steps = jnp.linspace(-options.span, options.span, options.steps)
    values = traversed_values(prior, steps)
    if values is None:
        raise ValueError(
            f"RUN {options.run}: a traversal needs a latent code that is one vector and a prior with a standard "
            f"deviation, got a prior of the type {type(prior).__name__}; take `vae-jax sample` or `vae-jax explore`"
        )
    output = new_file(options.output, "traverse.png")

    def draw() -> Any:
        move = lambda x, label: traverse(given(loaded.model, label), loaded.params, x, values)
        return traversal(jax.jit(move)(x, label), _kl(options, loaded), steps)

    return lambda: write_picture(draw, output)


def _kl(options: Traverse, loaded: Loaded) -> np.ndarray | None:
    """KL of each dimension over the test images; None if the test images are missing, or there is no KL."""
    try:
        test = images_of(loaded, options.data_dir)
    except ValueError as error:
        say(f"the data is missing, so the dimensions are not sorted by their KL ({error})")
        return None
    labels = None if test.labels is None else test.labels[:1000]
    try:
        examples = loaded.contexts.examples(test.xs[:1000], labels)
        return np.asarray(kl_per_dimension(loaded.model, loaded.params, examples))
    except UndefinedError:  # the posterior of an autoencoder has no density
        return None


def _check_steps(steps: int) -> None:
    if not 2 <= steps <= _MOST_STEPS:
        raise ValueError(f"--steps must be between 2 and {_MOST_STEPS}, got {steps}")


def write_picture(draw: Callable[[], Any], output: Path) -> None:
    """Writes the figure that `draw` makes to a file; its folder is made if it is missing."""
    with working("drawing"):
        figure = draw()
    output.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, output)
    print(f"picture: {printable(output)}")
