"""Models and images that the options of a command name."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from vae_jax.cli.options import OfRun, WithImages
from vae_jax.data import Table, load_table_like, read_image
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.loading import Loaded, ShownImages, images_of, load_run, preprocessed, recipe_of
from vae_jax.runs.progress import say
from vae_jax.runs.tables.kind import TABLES


def load(options: OfRun) -> Loaded:
    """Loads the model that the options name."""
    loaded = load_run(options.run, options.seed, options.weight)
    if "unfinished" in loaded.summary:
        say(loaded.summary["unfinished"])
    return loaded


def is_of_table(loaded: Loaded) -> bool:
    """Returns whether the model was trained on the rows of a table."""
    return loaded.recipe.kind is TABLES


def load_for_images(options: OfRun, command: str) -> Loaded:
    """Loads the model that the options name, for a command that shows images.

    Raises:
      ValueError: the model was trained on a table.
    """
    folder = RunFolder(options.run, "RUN")
    if recipe_of(folder).kind is TABLES:
        raise ValueError(
            f"`vae-jax {command}` is for images, and {folder} was trained on the table {folder.config()['data']}: take "
            "`vae-jax sample`, `impute`, `encode`, `score` or `report`"
        )
    return load(options)


def read_table(path: str, loaded: Loaded, argument: str) -> Table:
    """Reads a table with the columns of a run's model.

    Args:
      argument: name of the argument that gave the path, for messages.

    Raises:
      ValueError: the table cannot be read, lacks a column, or has one that the model does not know.
    """
    encoding = loaded.problem.encoding
    try:
        return load_table_like(path, encoding)
    except ValueError as error:
        raise ValueError(f"{argument} {error}") from error


def check_label(label: int | None, loaded: Loaded) -> None:
    """Raises ValueError if --label gives a label that the model does not take."""
    if label is None:
        return
    if loaded.num_classes is None:
        raise ValueError(
            f"--label {label}: the model of {loaded.folder} takes no labels (no --condition labels): leave it out"
        )
    if label >= loaded.num_classes:
        raise ValueError(
            f"--label must be between 0 and {loaded.num_classes - 1}, the labels of {loaded.folder}, got {label}"
        )


def check_no_masks(loaded: Loaded, command: str) -> None:
    """Raises ValueError if the model is of images with missing pixels, which the command does not take."""
    if loaded.contexts.masked:
        raise ValueError(
            f"{command} does not take a model of images with missing pixels, and RUN {loaded.folder.path} has one "
            "(--missing or --mask-file): take `vae-jax reconstruct` or `vae-jax sample`"
        )


def images(
    options: WithImages, loaded: Loaded, names: Sequence[str], argument: str = "IMAGE"
) -> tuple[jax.Array, np.ndarray | None]:
    """Loads images `[N, H, W, C]`, preprocessed for the model, and their contexts.

    Args:
      names: picture files, or numbers of test images.
      argument: name of the argument that gave them, for messages.

    Returns:
      Images and contexts. The labels are --label, or those of the test images, `[N]`; the masks are those of the test
      images, `[N, H, W, C]`, and a picture file is observed as a whole; None if the model takes neither.

    Raises:
      ValueError: if a name is neither a picture file nor the number of a test image, or a label is unknown.
    """
    check_label(options.label, loaded)
    test: ShownImages | None = None
    pixels, labels, masks = [], [], []
    for name in names:
        if not name.isdecimal():
            if loaded.num_classes is not None and options.label is None:
                raise ValueError(
                    f"{argument} {name}: the model needs a label, and a picture file has none: give --label"
                )
            try:
                pixels.append(read_image(name, loaded.image_shape, options.resize))
                masks.append(np.ones(loaded.image_shape, bool))
            except ValueError as error:
                raise ValueError(
                    f"{argument} must be a picture file, or the number of a test image, got {name}: {error}"
                ) from error
            continue
        if test is None:
            test = images_of(loaded, options.data_dir)
        if int(name) >= len(test.pixels):
            raise ValueError(
                f"{argument} must be a picture file, or the number of a test image from 0 to "
                f"{len(test.pixels) - 1}, got {name}"
            )
        pixels.append(test.pixels[int(name)])
        if test.masks is not None:
            masks.append(test.masks[int(name)])
        if test.labels is not None:
            labels.append(test.labels[int(name)])
    xs = preprocessed(loaded, np.stack(pixels))
    if loaded.contexts.masked:
        return xs, np.stack(masks)
    if loaded.num_classes is None:
        return xs, None
    return xs, np.asarray(labels if options.label is None else [options.label] * len(pixels), np.int32)
