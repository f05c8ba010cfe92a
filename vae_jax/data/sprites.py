"""Sprites: images as a pure function of their factors, regenerated after dSprites, so that no file is needed.

dSprites (Matthey et al. 2017) shows a square, an ellipse or a heart at 6 scales, 40 orientations and 32 x 32 positions:
737,280 binary images of 64 x 64. The outlines here were fitted to images of dSprites: of 12 labeled images 11 were
exact and one differed in one pixel. Report numbers measured on them as "regenerated after dSprites".
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.data._factors import check_indices, factors_of

FACTOR_NAMES = ("shape", "scale", "orientation", "position_x", "position_y")
FACTOR_SIZES = (3, 6, 40, 32, 32)
SHAPES = ("square", "ellipse", "heart")
NUM_IMAGES = math.prod(FACTOR_SIZES)
SIDE = 64

_HALF_SQUARE = 9.6
_ELLIPSE = (12.76, 7.22)  # half axes
_HEART = 9.6, 0.6625, 1.45  # half width, height of a unit of the curve, shift


def render(index: ArrayLike) -> jax.Array:
    """Renders the image at a flat index, uint8 `[64, 64]` of 0 and 1.

    Args:
      index: A whole number, 0 to 737,279, row-major over `FACTOR_SIZES`, position_y fastest.

    Raises:
      ValueError: If an index that is not traced is out of range.
      TypeError: If the index is not a whole number.

    Source: Matthey et al. 2017 [matthey2017dsprites].
    """
    check_indices("index", index, NUM_IMAGES)
    return _render_index(index)


def render_factors(
    shape: ArrayLike, scale: ArrayLike, orientation: ArrayLike, position_x: ArrayLike, position_y: ArrayLike
) -> jax.Array:
    """Renders the image of continuous factors, uint8 `[64, 64]`: 1 for pixels whose center is inside the shape, else 0.

    With (u, v) the pixel's center relative to the shape's, rotated by the orientation and divided by the scale, the
    square is max(|u|, |v|) <= 9.6, the ellipse (u / 12.76)^2 + (v / 7.22)^2 <= 1, and the heart the inside of the curve
    u = 9.6 sin^3 a, v = -0.6625 (13 cos a - 5 cos 2a - 2 cos 3a - cos 4a) - 1.45.

    Args:
      shape: 0 (square), 1 (ellipse) or 2 (heart).
      scale: Scale above 0; dSprites has 0.5 to 1.
      orientation: Angle in radians.
      position_x: 0 (the center is 16 pixels from the left) to 1 (16 pixels from the right).
      position_y: 0 (the center is 16 pixels from the top) to 1 (16 pixels from the bottom).

    Raises:
      ValueError: If a factor that is not traced is out of range or not finite, or the shape is not a whole number.
    """
    ranges = {
        "shape": (shape, 0, 2),
        "scale": (scale, 1e-3, math.inf),
        "orientation": (orientation, -math.inf, math.inf),
        "position_x": (position_x, 0, 1),
        "position_y": (position_y, 0, 1),
    }
    for name, (value, low, high) in ranges.items():
        if isinstance(value, jax.core.Tracer):
            continue
        number = float(np.asarray(value))
        if not (math.isfinite(number) and low <= number <= high) or (name == "shape" and number % 1):
            whole = "a whole number " if name == "shape" else ""
            raise ValueError(f"{name} must be {whole}between {low:g} and {high:g}, got {value}")
    return _render(shape, scale, orientation, position_x, position_y)


@jax.jit
def _render(shape: jax.Array, scale: jax.Array, orientation: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    centers = jnp.arange(SIDE, dtype=jnp.float32) + 0.5
    dx = (centers - (16.0 + 32.0 * x))[None, :] / scale
    dy = (centers - (16.0 + 32.0 * y))[:, None] / scale
    cos, sin = jnp.cos(orientation), jnp.sin(orientation)
    u, v = cos * dx - sin * dy, sin * dx + cos * dy
    square = jnp.maximum(jnp.abs(u), jnp.abs(v)) <= _HALF_SQUARE
    ellipse = (u / _ELLIPSE[0]) ** 2 + (v / _ELLIPSE[1]) ** 2 <= 1.0
    inside = jnp.where(shape == 0, square, jnp.where(shape == 1, ellipse, _in_heart(u, v)))
    return inside.astype(jnp.uint8)


def _in_heart(u: jax.Array, v: jax.Array) -> jax.Array:
    """Mask of points (u, v) inside the heart.

    Two points of the curve have the abscissa u, cos a = c and -c: 13 cos a - ... = even(c) + odd(c) or even - odd.
    """
    half_width, unit, shift = _HEART
    share = jnp.abs(u) / half_width  # |sin a|^3
    # A floor for the logarithm: sin^2 a is then 5e-21, and c is 1, its value at 0.
    sin2 = jnp.exp(jnp.log(jnp.maximum(share, 1e-30)) * (2.0 / 3.0))
    c2 = jnp.maximum(1.0 - sin2, 0.0)
    even, odd = 4.0 - 2.0 * c2 - 8.0 * c2**2, jnp.sqrt(c2) * (19.0 - 8.0 * c2)
    return (share <= 1.0) & (jnp.abs(-(v + shift) / unit - even) <= odd)


@jax.jit
def _render_index(index: jax.Array) -> jax.Array:
    shape, scale, orientation, x, y = factors_of(index, FACTOR_SIZES)
    # 40 angles from 0 to 2 pi, both included: the last equals the first.
    angle = (orientation % 39) * (2 * math.pi / 39)
    return _render(shape, 0.5 + 0.1 * scale, angle, x / 31, y / 31)
