"""How 8-bit pixels become a model's input, inside the jitted step: three elementwise functions of one signature.

Each is `(key, uint8 [...]) -> float32 [...]`, so a training step takes any of them: give it another key at each step.
`static_binarization` is the fourth way, drawn once on the host.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.data._checks import whole_number
from vae_jax.data._threefry import random_words


def _require_uint8(pixels: ArrayLike) -> jax.Array:
    # asarray before the check would let Python ints through as int32, and a float array would be scaled twice.
    if isinstance(pixels, (tuple, list, dict)):
        raise TypeError(
            f"pixels must be one array, got a {type(pixels).__name__} of {len(pixels)}; side information such as "
            "labels goes beside the images, models.Example(images, labels), to a model that takes it, such as "
            "conditional_vae"
        )
    dtype = getattr(pixels, "dtype", type(pixels).__name__)
    if dtype != np.uint8:
        raise TypeError(f"pixels: expected dtype uint8 (0 to 255), got {dtype}.")
    return jnp.asarray(pixels)


def _random_16_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """uint16 `shape`, independent and uniform: the halves of 32-bit words."""
    count = math.prod(shape)
    words = random_words(key, (count + 1) // 2)
    return jax.lax.bitcast_convert_type(words, jnp.uint16).ravel()[:count].reshape(shape)


def scale(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """x = k / 255: the intensities as they are, on [0, 1].

    Args:
      key: Not used; it is there because all three have one signature.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`. They are 256 points still, on which a density can grow without bound: for Gaussian decoders and
      bits per dimension use `dequantize`.

    Raises:
      TypeError: for another dtype than uint8.
    """
    del key
    return _require_uint8(pixels).astype(jnp.float32) / 255


def dequantize(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """x = (k + u) / 256 with u ~ U[0, 1), for each pixel on its own.

    A density p on [0, 1) then bounds a discrete likelihood: E_u[log p(x)] - D log 256 <= log P(k) for D pixels.

    Args:
      key: PRNG key, consumed.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`, in [k / 256, (k + 1) / 256) without exception, hence below 1.

    Raises:
      TypeError: for another dtype than uint8.

    Source: Uria, Murray & Larochelle 2013 (arXiv:1306.0186); Theis, van den Oord & Bethge 2016
    (arXiv:1511.01844), section 3.1.
    """
    pixels = _require_uint8(pixels)
    # u has 16 bits, so that k + u has 24: exact in float32. A 23-bit u would round 255 + u up to 256 for u near 1.
    fraction = _random_16_bits(key, pixels.shape)
    return (pixels.astype(jnp.float32) * 65536 + fraction.astype(jnp.float32)) / 16777216


def binarize(key: jax.Array, pixels: ArrayLike) -> jax.Array:
    """x ~ Bernoulli(k / 255), for each pixel on its own: dynamic binarization when every step has its own key.

    Args:
      key: PRNG key, consumed.
      pixels: uint8 `[...]`.

    Returns:
      float32 `[...]`, 0 or 1; pixels of 0 are always 0 and pixels of 255 always 1. The probability of the others is
      k / 255 to within 2^-17.

    Raises:
      TypeError: for another dtype than uint8.

    Source: Salakhutdinov & Murray 2008 [salakhutdinov2008quantitative].
    """
    pixels = _require_uint8(pixels)
    # 2^16 k / 255 = 257 k + k / 255 to the nearest integer, without a division: k / 255 is nearer to 1 from 128 on.
    level = pixels.astype(jnp.uint32)
    threshold = 257 * level + (level >> 7)
    return (_random_16_bits(key, pixels.shape) < threshold).astype(jnp.float32)


def static_binarization(images: np.ndarray, seed: int) -> np.ndarray:
    """One draw of pixel ~ 255 Bernoulli(k / 255), made once and kept: a binary data set.

    Args:
      images: uint8 `[...]`.
      seed: 0 to 2^32 - 1. The same seed gives the same bits everywhere, for ever.

    Returns:
      uint8 `[...]` of 0 and 255, so that `scale` and `binarize` both leave exactly these bits.

    Raises:
      TypeError: for another dtype than uint8, and a seed that is no whole number.
      ValueError: for a seed that is out of range.

    Source: Larochelle & Murray 2011 [larochelle2011neural] fixed one such
    draw of MNIST. Theirs is the file TFDS calls `binarized_mnist`; a draw made here is another one: say "own draw".
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images: expected dtype uint8 (0 to 255), got {images.dtype}.")
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    # Uniform integers of 0..254 lie below k with probability exactly k / 255. RandomState: its stream never changes.
    threshold = np.random.RandomState(seed).randint(0, 255, images.shape, dtype=np.uint8)
    return np.where(threshold < images, np.uint8(255), np.uint8(0))
