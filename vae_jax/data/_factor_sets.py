"""The data sets with known factors, by name: `load_factor_data`; and each as a source of 8-bit images."""

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


# These sets are computed from the index alone and have no table to read from.
def _plain(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return _sprite(index)


def _colored(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return _sprite(index) * jax.random.uniform(key, (1, 1, 3), minval=0.5, maxval=1.0)


def _noisy(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.minimum(_sprite(index) + jax.random.uniform(key, (sprites.SIDE, sprites.SIDE, 3)), 1.0)


def _sprites(name: str, channels: int, render: Render, what: str) -> FactorData:
    shape = (sprites.SIDE, sprites.SIDE, channels)
    return FactorData(name, sprites.FACTOR_NAMES, sprites.FACTOR_SIZES, shape, render, f"{name}: {_SPRITES}{what}")


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
    """The data set of that name.

    Args:
      name: `sprites`, `sprites_color`, `sprites_noisy` (all rendered), `squares` (where the distance of pixels says
        nothing about factors), or `dsprites`, the original, which TFDS must hold.
      data_dir: of TFDS; the rendered sets do not use it.

    Raises:
      ValueError: for another name, or where `dsprites` is not to be had.
    """
    if name in RENDERED:
        return RENDERED[name]
    if name == "dsprites":
        return load_dsprites(data_dir)
    raise ValueError(f"data must be one of those with known factors, {', '.join(NAMES)}, got {name!r}")


class RenderedImages:
    """The images of a `FactorData`, rendered when they are asked for: an `ImageSource`."""

    def __init__(self, data: FactorData):
        self.data = data
        self.shape = (data.num_images, *data.image_shape)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, uint8 `[n, H, W, C]`."""
        return np.array(_to_bytes(self.data, np.asarray(indices, np.int32)))


@jax.jit
def _to_bytes(data: FactorData, indices: jax.Array) -> jax.Array:
    return jnp.round(255 * data.images(jax.random.key(0), indices)).astype(jnp.uint8)
