"""Sides that halvings do not divide: padded before a network halves them, cropped after one has doubled them."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from vae_jax.networks._blocks import pad


def halved(image_shape: Sequence[int], halvings: int) -> tuple[int, int]:
    """Height and width of an image's grid after so many halvings, each of which rounds up.

    Raises:
      ValueError: If a side is 1 before the last of them.
    """
    height, width = image_shape[:2]
    if min(height, width) <= 2 ** (halvings - 1):
        raise ValueError(
            f"image_shape {tuple(image_shape)} cannot be halved {halvings} times: height and width must be above "
            f"{2 ** (halvings - 1)}; give fewer channels, or larger images"
        )
    return -(-height // 2**halvings), -(-width // 2**halvings)


def padded(x: jax.Array, halvings: int) -> jax.Array:
    """`[H, W, C]` with zeros below and on the right, up to sides that so many halvings divide."""
    return pad(x, ((0, -x.shape[0] % 2**halvings), (0, -x.shape[1] % 2**halvings)), axis=0)


def cropped(x: jax.Array, height: int, width: int) -> jax.Array:
    """The part of `[H, W, C]` that `padded` has kept."""
    return x if x.shape[:2] == (height, width) else x[:height, :width]
