"""Images with sizes that are not multiples of 2^halvings: padded before an encoder, cropped after a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from vae_jax.networks._blocks import pad


def halved(image_shape: Sequence[int], halvings: int) -> tuple[int, int]:
    """Height and width of an image after the given number of halvings, each rounded up.

    Raises:
      ValueError: if the height or width is 1 before the last halving.
    """
    height, width = image_shape[:2]
    if min(height, width) <= 2 ** (halvings - 1):
        raise ValueError(
            f"image_shape {tuple(image_shape)} cannot be halved {halvings} times: height and width must be above "
            f"{2 ** (halvings - 1)}; give fewer channels, or larger images"
        )
    return -(-height // 2**halvings), -(-width // 2**halvings)


def padded(x: jax.Array, halvings: int) -> jax.Array:
    """Pads `[H, W, C]` with zeros at the bottom and on the right, to multiples of 2^halvings."""
    return pad(x, ((0, -x.shape[0] % 2**halvings), (0, -x.shape[1] % 2**halvings)), axis=0)


def cropped(x: jax.Array, height: int, width: int) -> jax.Array:
    """Crops `[H, W, C]` to height and width, the inverse of `padded`."""
    return x if x.shape[:2] == (height, width) else x[:height, :width]
