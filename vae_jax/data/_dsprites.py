"""The original dSprites from TFDS, packed into one array of 377 MB, a bit per pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import sprites
from vae_jax.data._factors import FactorData, factors_of
from vae_jax.data._records import Records
from vae_jax.data._tfds_images import open_tfds

_LABELS = ("label_shape", "label_scale", "label_orientation", "label_x_position", "label_y_position")
_BLOCK = 4096  # images read at once


def load_dsprites(data_dir: str | None = None) -> FactorData:
    """Loads dSprites (Matthey et al. 2017) from TFDS, sorted by its factors.

    Raises:
      ValueError: If TFDS does not hold the data set and cannot prepare it, or an image is missing or there twice.

    Source: Matthey et al. 2017 [matthey2017dsprites].
    """
    opened = open_tfds("dsprites", data_dir)
    table = jnp.asarray(packed_by_factors(opened.train, _LABELS, sprites.FACTOR_SIZES))
    shape, note = (sprites.SIDE, sprites.SIDE, 1), f"dsprites by TFDS: {sprites.NUM_IMAGES:,} images"
    return FactorData("dsprites", sprites.FACTOR_NAMES, sprites.FACTOR_SIZES, shape, _unpacked, note, table)


def _unpacked(table: jax.Array, key: jax.Array, index: jax.Array) -> jax.Array:
    del key  # nothing is random
    return jnp.unpackbits(table[index]).reshape(sprites.SIDE, sprites.SIDE, 1).astype(jnp.float32)


def packed_by_factors(records: Records, labels: Sequence[str], factor_sizes: Sequence[int]) -> np.ndarray:
    """Packs binary images into bits, uint8 `[prod(factor_sizes), H W / 8]`, each at the flat index of its factors.

    Args:
      records: Binary images, H W divisible by 8, in any order.
      labels: Names of the features that hold the factors, slowest first.
      factor_sizes: Number of values of each factor.

    Raises:
      ValueError: If an image is missing or there twice.
    """
    count, pixels = math.prod(factor_sizes), math.prod(records.shape[1:])
    table, seen = np.zeros((count, pixels // 8), np.uint8), np.zeros(count, int)
    for start in range(0, records.shape[0], _BLOCK):
        images, factors = records.read_with(range(start, min(start + _BLOCK, records.shape[0])), labels)
        indices = np.ravel_multi_index(tuple(factors.T), tuple(factor_sizes))
        table[indices] = np.packbits(images.reshape(len(images), -1) > 0, axis=1)
        np.add.at(seen, indices, 1)
    if not (seen == 1).all():
        raise ValueError(
            f"dsprites must hold each of its {count:,} images once: {int((seen == 0).sum()):,} are missing and "
            f"{int((seen > 1).sum()):,} are there more than once"
        )
    return table


def agreement_with_sprites(data: FactorData, count: int = 10_000) -> str:
    """Sentence on how well `sprites` regenerates dSprites, measured on `count` images drawn with a fixed seed."""
    indices = np.random.RandomState(0).randint(0, data.num_images, count)

    @jax.jit
    def wrong_pixels(table: Any, indices: jax.Array) -> jax.Array:
        def one(index: jax.Array) -> jax.Array:
            image = data.render(table, jax.random.key(0), index)[..., 0]
            return jnp.sum(image != sprites.render(index).astype(jnp.float32))

        return jax.lax.map(one, indices, batch_size=64)

    wrong = np.asarray(wrong_pixels(data.table, jnp.asarray(indices)))
    by_shape = factors_of(indices, data.factor_sizes)[0]
    parts = [
        f"{shape} {np.mean(wrong[by_shape == i]):.2f}"
        for i, shape in enumerate(sprites.SHAPES)
        if (by_shape == i).any()
    ]
    return (
        f"sprites regenerates {100 * np.mean(wrong == 0):.1f} % of {count:,} dSprites images exactly; mean number of "
        f"wrong pixels per image of {sprites.SIDE**2:,}: {', '.join(parts)}"
    )
