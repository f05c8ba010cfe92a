"""Conversions of 8-bit pixels to a model's input, for use inside the jitted step.

`scale`, `dequantize` and `binarize` are elementwise and have one signature, `(key, uint8 [...]) -> float32 [...]`; a
training step gives them another key at each step. `static_binarization` is drawn once, on the host.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.data._checks import integer_between
from vae_jax.data._threefry import random_words


def _require_uint8(pixels: ArrayLike) -> jax.Array:
    # Checked before asarray, which would turn Python ints into int32; a float array would be scaled twice.
    if isinstance(pixels, (tuple, list, dict)):
        raise TypeError(
            f"pixels must be one array, got a {type(pixels).__name__} of {len(pixels)}; pass side information such as "
            "labels beside the images, as models.Example(images, labels), to a model that accepts it, such as "
            "conditional_vae"
        )
    dtype = getattr(pixels, "dtype", type(pixels).__name__)
    if dtype != np.uint8:
        raise TypeError(f"pixels: expected dtype uint8 (0 to 255), got {dtype}.")
    return jnp.asarray(pixels)


def _random_16_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Independent uniform uint16 numbers of that shape: the halves of 32-bit words."""
    count = math.prod(shape)
    words = random_words(key, (count + 1) // 2)
    return jax.lax.bitcast_convert_type(words, jnp.uint16).ravel()[:count].reshape(shape)


def scale(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """Scales intensities k to x = k / 255 in [0, 1].

    Args:
      key: Not used; all pixel conversions have one signature.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`. The values are 256 discrete points, on which a density can grow without bound: for Gaussian
      decoders and bits per dimension use `dequantize`.

    Raises:
      TypeError: If pixels are not uint8.
    """
    del key
    return _require_uint8(pixels).astype(jnp.float32) / 255


def dequantize(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """Dequantizes intensities k with uniform noise: x = (k + u) / 256 with u ~ U[0, 1), independent for each pixel.

    A density p on [0, 1) then bounds a discrete likelihood: E_u[log p(x)] - D log 256 <= log P(k) for D pixels.

    Args:
      key: PRNG key, consumed.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`, always in [k / 256, (k + 1) / 256), hence below 1.

    Raises:
      TypeError: If pixels are not uint8.

    Source: Uria, Murray & Larochelle 2013 (arXiv:1306.0186); Theis, van den Oord & Bethge 2016
    (arXiv:1511.01844), section 3.1.
    """
    pixels = _require_uint8(pixels)
    # u has 16 bits, so that k + u has 24 and is exact in float32. A 23-bit u would round 255 + u to 256 for u near 1.
    fraction = _random_16_bits(key, pixels.shape)
    return (pixels.astype(jnp.float32) * 65536 + fraction.astype(jnp.float32)) / 16777216


def binarize(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """Draws x ~ Bernoulli(k / 255), independent for each pixel: dynamic binarization if every step has its own key.

    Args:
      key: PRNG key, consumed.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`, 0 or 1; intensity 0 always becomes 0 and 255 always 1. For others the probability of 1 is
      k / 255 to within 2^-17.

    Raises:
      TypeError: If pixels are not uint8.

    Source: Salakhutdinov & Murray 2008 [salakhutdinov2008quantitative].
    """
    pixels = _require_uint8(pixels)
    # 2^16 k / 255 = 257 k + k / 255 to the nearest integer, without a division: k / 255 is nearer to 1 from 128 on.
    level = pixels.astype(jnp.uint32)
    threshold = 257 * level + (level >> 7)
    return (_random_16_bits(key, pixels.shape) < threshold).astype(jnp.float32)


def static_binarization(images: np.ndarray, seed: int) -> np.ndarray:
    """Draws a fixed binary data set: each pixel ~ 255 Bernoulli(k / 255), independently.

    Args:
      images: uint8 `[...]`.
      seed: 0 to 2^32 - 1. A seed gives the same bits on every machine and version.

    Returns:
      uint8 `[...]` of 0 and 255; `scale` and `binarize` both map them to 0 and 1 without noise.

    Raises:
      TypeError: If images are not uint8, or the seed is not a whole number.
      ValueError: If the seed is out of range.

    Source: Larochelle & Murray 2011 [larochelle2011neural] published one draw
    of MNIST, which TFDS calls `binarized_mnist`. A draw of this function is another one: report it as "own draw".
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images: expected dtype uint8 (0 to 255), got {images.dtype}.")
    seed = integer_between("seed", seed, 0, 2**32 - 1)
    # A uniform integer of 0..254 is below k with probability exactly k / 255. The stream of RandomState never changes.
    threshold = np.random.RandomState(seed).randint(0, 255, images.shape, dtype=np.uint8)
    return np.where(threshold < images, np.uint8(255), np.uint8(0))
