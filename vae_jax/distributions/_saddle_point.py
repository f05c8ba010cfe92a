"""Parts of the saddle-point form of the probabilities of counts, which keeps its digits at large counts.

lgamma(10^6) is about 10^7, of which float32 keeps no digit after the point. In Loader's form no term is much larger
than the logarithm of the probability itself.

Source: Loader 2000 [loader2000fast].
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

LOG_2PI = 1.8378770664093453
_SERIES_FROM = 8.0  # from here on, the series of the Stirling error is exact to 3e-10


def stirling_error(x: jax.Array) -> jax.Array:
    """delta(x) = lgamma(x) - ((x - 1/2) log x - x + 1/2 log 2 pi), elementwise, for x > 0 in float32.

    It decreases in x and is 1 / (12 x) - 1 / (360 x^3) + 1 / (1260 x^5) - ... for large x.
    """
    small = x < _SERIES_FROM
    # Each branch gets an argument of its own range, so that the gradient of the other one is finite.
    near = jnp.where(small, x, 1.0)
    direct = jax.lax.lgamma(near) - ((near - 0.5) * jnp.log(near) - near + 0.5 * LOG_2PI)
    inverse = 1.0 / jnp.where(small, _SERIES_FROM, x)
    square = jnp.square(inverse)
    series = inverse * (1 / 12 - square * (1 / 360 - square / 1260))
    return jnp.where(small, direct, series)


def deviance(x: jax.Array, mean: jax.Array, difference: jax.Array, log_ratio: jax.Array) -> jax.Array:
    """x log(x / m) + m - x, elementwise, for x >= 0 and m > 0; never below 0.

    Args:
      x: the observed number.
      mean: m.
      difference: x - m, which the caller may know more exactly than the difference of both roundings.
      log_ratio: log(x / m), any finite number where x is 0.
    """
    share = difference / (x + mean)
    near = jnp.abs(share) < 0.1
    v = jnp.where(near, share, 0.0)
    square = jnp.square(v)
    # log(x / m) = 2 artanh(v) as a series; the difference of the two large terms is taken by hand.
    odd = v * square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9)))
    return jnp.where(near, difference * v + 2.0 * x * odd, x * log_ratio - difference)


def is_count(x: jax.Array) -> jax.Array:
    """Returns booleans: whether each number is whole, finite and not below 0."""
    return (x >= 0) & (x == jnp.floor(x)) & jnp.isfinite(x)
