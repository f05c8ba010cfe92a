"""Data sets with known factors by name, `load_factor_data`, and each as a source of 8-bit images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import _squares as squares
from vae_jax.data import sprites
from vae_jax.data._dsprites import load_dsprites
from vae_jax.data._factors import FactorData, Render

_SPRITES = "regenerated after dSprites (Matthey et al. 2017), 737,280 images"


def _sprite(index: jax.Array) -> jax.Array:
    return sprites.render(index)[..., None].astype(jnp.float32)


# These data sets are computed from the index alone and have no table.
def _plain(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return _sprite(index)


def _colored(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return _sprite(index) * jax.random.uniform(key, (1, 1, 3), minval=0.5, maxval=1.0)


def _noisy(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.minimum(_sprite(index) + jax.random.uniform(key, (sprites.SIDE, sprites.SIDE, 3)), 1.0)


def _sprites(name: str, channels: int, render: Render, variation: str) -> FactorData:
    shape, note = (sprites.SIDE, sprites.SIDE, channels), f"{name}: {_SPRITES}{variation}"
    return FactorData(name, sprites.FACTOR_NAMES, sprites.FACTOR_SIZES, shape, render, note)


# Color and noise as in disentanglement_lib (Locatello et al. 2019, arXiv:1811.12359, appendix H).
RENDERED = {
    data.name: data
    for data in (
        _sprites("sprites", 1, _plain, ""),
        _sprites("sprites_color", 3, _colored, ", each in a color drawn anew, channels in [0.5, 1]"),
        _sprites("sprites_noisy", 3, _noisy, ", on a ground of uniform noise drawn anew"),
        squares.SQUARES,
    )
}
NAMES = (*RENDERED, "dsprites")


def load_factor_data(name: str, data_dir: str | None = None) -> FactorData:
    """Loads a data set with known factors by its name.

    Args:
      name: `sprites`, `sprites_color` or `sprites_noisy` (rendered); `squares` (rendered; pixel distances say nothing
        about its factors); or `dsprites`, the original, read from TFDS.
      data_dir: The TFDS data directory; rendered data sets do not use it.

    Raises:
      ValueError: If there is no data set of that name, or `dsprites` cannot be read or prepared.
    """
    if name in RENDERED:
        return RENDERED[name]
    if name == "dsprites":
        return load_dsprites(data_dir)
    raise ValueError(f"data must be a data set with known factors, one of {', '.join(NAMES)}, got {name!r}")


class RenderedImages:
    """An `ImageSource` that renders the images of a `FactorData` on demand."""

    def __init__(self, data: FactorData):
        self.data = data
        self.shape = (data.num_images, *data.image_shape)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images at these indices, uint8 `[n, H, W, C]`."""
        return np.array(_to_bytes(self.data, np.asarray(indices, np.int32)))


@jax.jit
def _to_bytes(data: FactorData, indices: jax.Array) -> jax.Array:
    return jnp.round(255 * data.images(jax.random.key(0), indices)).astype(jnp.uint8)
