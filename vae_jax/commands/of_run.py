"""Model and images that the options of a command name."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from vae_jax.commands.options import OfRun, WithImages
from vae_jax.data import read_image
from vae_jax.experiment.load import ShownImages, as_the_model_sees, images_of, load_run
from vae_jax.experiment.loaded import Loaded
from vae_jax.experiment.progress import say


def load(options: OfRun) -> Loaded:
    """The model that the options name."""
    loaded = load_run(options.run, options.seed, options.beta)
    if "unfinished" in loaded.summary:
        say(loaded.summary["unfinished"])
    return loaded


def images(
    options: WithImages, loaded: Loaded, names: Sequence[str], argument: str = "IMAGE"
) -> tuple[np.ndarray, jax.Array]:
    """The images of those names, uint8 `[N, H, W, C]`, and as the model sees them.

    Args:
      options: of the command.
      loaded: the model.
      names: picture files, or numbers of test images.
      argument: what the user gave them by, for messages.

    Raises:
      ValueError: if a name is neither a picture file nor the number of a test image.
    """
    test: ShownImages | None = None
    pixels = []
    for name in names:
        if not name.isdecimal():
            try:
                pixels.append(read_image(name, loaded.image_shape, options.resize))
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
    stacked = np.stack(pixels)
    return stacked, as_the_model_sees(loaded, stacked)
