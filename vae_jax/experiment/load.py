"""The model of any finished run, whatever experiment made it, and images to look at it by."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import FactorData, fingerprint, load_factor_data, load_images, stream_images
from vae_jax.data._factors import factors_of
from vae_jax.experiment.disentanglement.saved import load_member
from vae_jax.experiment.disentanglement.settings import EXPERIMENT
from vae_jax.experiment.loaded import Loaded, load_method_run
from vae_jax.experiment.method import Method
from vae_jax.experiment.problem import make_problem, without_data
from vae_jax.runs import RunFolder

_RENDERED = 1_000  # images of a data set that is rendered, evenly spread over its factors


class ShownImages(NamedTuple):
    """Test images, as they are and as the model sees them."""

    pixels: np.ndarray  # uint8 [N, H, W, C]
    xs: jax.Array  # float32 [N, H, W, C]
    labels: np.ndarray | None  # [N]


def load_run(
    path: Path,
    seed: int | None = None,
    beta: float | None = None,
    argument: str = "RUN",
    method: Method | None = None,
) -> Loaded:
    """The trained model in a run folder, or in a folder that was exported of one.

    Args:
      path: the folder.
      seed: of a run of several models, the one to load; None: the one that the report shows.
      beta: of a disentanglement run, the weight of the model to load; None: the first.
      argument: what the user named the folder by, for messages.
      method: METHOD of the user's own script, if that made the run; None: the recipe that config.json names.

    Raises:
      ValueError: if the folder is not that of a run with a checkpoint, or holds no such model.
    """
    folder = RunFolder(path, argument)
    if folder.config().get("experiment") == EXPERIMENT:
        return load_member(folder, seed, beta)
    if beta is not None:
        raise ValueError(
            f"--beta chooses a model of experiments.{EXPERIMENT}, which {argument} {path} is not: leave it out"
        )
    return load_method_run(folder, seed, method)[1]


def images_of(loaded: Loaded, data_dir: str | None = None) -> ShownImages:
    """The test images of the run's data; of rendered data some of all images, with the first factor as their label.

    Raises:
      ValueError: if the data cannot be loaded from here, or have changed.
    """
    settings = loaded.settings
    if loaded.config["experiment"] == EXPERIMENT:
        data = load_factor_data(settings.data, data_dir)
        loaded.folder.check_data(fingerprint(data), settings.data)
        indices = np.linspace(0, data.num_images - 1, min(_RENDERED, data.num_images)).astype(np.int32)
        xs = jax.jit(FactorData.images)(data, jax.random.key(0), indices)
        labels = np.asarray(factors_of(indices, data.factor_sizes)[0])
        return ShownImages(_as_pixels(xs), xs, labels)
    try:
        images = (stream_images if settings.stream else load_images)(settings.data, data_dir, size=settings.size)
    except ValueError as error:
        raise ValueError(
            f"{loaded.folder.argument} {loaded.folder.path} was made with --data {settings.data}, not to be loaded "
            f"from here: {error}"
        ) from error
    loaded.folder.check_data(fingerprint(images), settings.data)
    problem = make_problem(dataclasses.replace(settings, data_dir=data_dir), images)
    return ShownImages(np.asarray(images.test), problem.test, problem.test_labels)


def as_the_model_sees(loaded: Loaded, pixels: np.ndarray) -> jax.Array:
    """uint8 pixels `[N, H, W, C]` as the run's model sees them, by the one draw of bits or noise that tests take."""
    if loaded.config["experiment"] == EXPERIMENT:
        return jnp.asarray(pixels, jnp.float32) / 255.0
    prepare = without_data(loaded.settings, loaded.image_shape).pixels.prepare
    return prepare(jax.random.key(0), jnp.asarray(pixels))


def _as_pixels(xs: jax.Array) -> np.ndarray:
    return np.asarray(jnp.round(255.0 * jnp.clip(xs, 0.0, 1.0))).astype(np.uint8)
