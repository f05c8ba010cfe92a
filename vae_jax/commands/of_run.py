"""The options by which commands choose a model and images, and what they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from vae_jax.data import read_image
from vae_jax.experiment.load import ShownImages, as_the_model_sees, images_of, load_run
from vae_jax.experiment.loaded import Loaded
from vae_jax.experiment.progress import say


@dataclasses.dataclass(frozen=True)
class OfRun:
    """Which model."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """folder of a finished run, such as runs/vae-digits-20250131-120000-seed0"""
    seed: int | None = dataclasses.field(default=None, kw_only=True)
    """of a run of several models, the one to take; None: the one that the report shows"""
    beta: float | None = dataclasses.field(default=None, kw_only=True)
    """of a disentanglement run, the weight of the model to take; None: the first"""

    def load(self) -> Loaded:
        loaded = load_run(self.run, self.seed, self.beta)
        if "unfinished" in loaded.summary:
            say(loaded.summary["unfinished"])
        return loaded


@dataclasses.dataclass(frozen=True)
class WithImages(OfRun):
    """Which model, and which images."""

    resize: bool = dataclasses.field(default=False, kw_only=True)
    """bring image files of another size to the model's"""
    data_dir: str | None = dataclasses.field(default=None, kw_only=True)
    """folder of TFDS datasets, for test images; None: the environment's TFDS_DATA_DIR, else TFDS's own"""

    def images(self, loaded: Loaded, names: Sequence[str], argument: str = "IMAGE") -> tuple[np.ndarray, jax.Array]:
        """The images of those names, uint8 `[N, H, W, C]`, and as the model sees them.

        Args:
          loaded: the model.
          names: picture files, or numbers of test images.
          argument: what the user gave them by, for messages.

        Raises:
          ValueError: where a name is neither a picture file nor the number of a test image.
        """
        test: ShownImages | None = None
        pixels = []
        for name in names:
            if not name.isdecimal():
                try:
                    pixels.append(read_image(name, loaded.image_shape, self.resize))
                except ValueError as error:
                    raise ValueError(
                        f"{argument} must be a picture file, or the number of a test image, got {name}: {error}"
                    ) from error
                continue
            if test is None:
                test = images_of(loaded, self.data_dir)
            if int(name) >= len(test.pixels):
                raise ValueError(
                    f"{argument} must be a picture file, or the number of a test image from 0 to "
                    f"{len(test.pixels) - 1}, got {name}"
                )
            pixels.append(test.pixels[int(name)])
        stacked = np.stack(pixels)
        return stacked, as_the_model_sees(loaded, stacked)
