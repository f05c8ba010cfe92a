"""A data set with known factors as a source of 8-bit images, for whatever reads images from one."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data._factors import FactorData


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
