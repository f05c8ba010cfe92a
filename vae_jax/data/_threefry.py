"""Random 32-bit words for every pixel of a batch, by Threefry written out as elementwise arithmetic.

`jax.random.bits` is Threefry too, but on a CPU it loops over memory and keeps only one of the two words of each block:
in the training step of an MLP it took a tenth of the time of the matrix products. Written out, the rounds are one pass
in registers, on all cores.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry_2x32(seed: jax.Array, first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Enciphers the blocks (first[i], second[i]) under the seed by 20 rounds of Threefry.

    Args:
      seed: uint32 `[2]`.
      first: uint32, of any shape.
      second: uint32, the same shape.

    Returns:
      Two arrays of that shape, uint32.

    Source: Salmon, Moraes, Dror & Shaw 2011 [salmon2011parallel], section 3.3.
    """
    schedule = (seed[0], seed[1], seed[0] ^ seed[1] ^ jnp.uint32(_PARITY))
    first, second = first + schedule[0], second + schedule[1]
    for injection in range(1, 6):
        for distance in _ROTATIONS[(injection - 1) % 2]:
            first = first + second
            second = first ^ ((second << distance) | (second >> (32 - distance)))
        first = first + schedule[injection % 3]
        second = second + schedule[(injection + 1) % 3] + jnp.uint32(injection)
    return first, second


def random_words(key: jax.Array, count: int) -> jax.Array:
    """Independent uniform uint32 `[count]`: the blocks (0, 0), (1, 0), (2, 0), ... enciphered under the key.

    Args:
      key: PRNG key of any JAX implementation, consumed; its first two words are used.
      count: Number of words, at most 2^33.
    """
    counter = jax.lax.iota(jnp.uint32, (count + 1) // 2)
    blocks = threefry_2x32(jax.random.key_data(key)[:2], counter, jnp.zeros_like(counter))
    # Without the barrier XLA would fuse the rounds into each of their consumers and compute them again for each. The
    # two words of a block are adjacent, so that a device with a part of the batch draws only the words of that part.
    return jnp.stack(jax.lax.optimization_barrier(blocks), axis=-1).ravel()[:count]
