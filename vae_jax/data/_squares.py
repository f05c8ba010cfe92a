"""Three squares on a grid: a data set whose pixel distances say nothing about its factors.

Each square moves in steps of its own width, so that its positions never overlap and all pairs of positions have the
same pixel distance. A VAE orders its latent code by pixel distances, which carry no information here.

Source: Michlo, Klein & James 2023, "Overlooked implications of the reconstruction loss for VAE disentanglement"
(arXiv:2202.13341).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data._factors import FactorData, factors_of

FACTOR_NAMES = ("red_x", "red_y", "green_x", "green_y", "blue_x", "blue_y")
PLACES, WIDTH = 8, 8
FACTOR_SIZES = (PLACES,) * len(FACTOR_NAMES)


def _render(table: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    del table, key  # there is no table, and nothing is random
    places = factors_of(index, FACTOR_SIZES).reshape(3, 2)  # x and y of each channel
    cell = jnp.arange(PLACES * WIDTH) // WIDTH
    columns, rows = (cell[:, None] == places[None, :, axis] for axis in (0, 1))
    return (rows[:, None] & columns[None, :]).astype(jnp.float32)


SQUARES = FactorData(
    "squares",
    FACTOR_NAMES,
    FACTOR_SIZES,
    (PLACES * WIDTH, PLACES * WIDTH, 3),
    _render,
    f"squares: three squares on a grid of {PLACES} x {PLACES}, rendered, {math.prod(FACTOR_SIZES):,} images",
)
