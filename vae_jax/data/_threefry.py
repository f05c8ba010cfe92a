"""Random words for every pixel of a batch, by Threefry written out as elementwise arithmetic.

`jax.random.bits` is Threefry too, but on a CPU a loop of passes over memory, and it keeps one of the two words that
each block gives: in the training step of an MLP it took as long as a tenth of the matrix products. Written out, the
rounds are one pass in registers, on all cores.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry_2x32(seed: jax.Array, first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The blocks (first[i], second[i]) enciphered under the seed by 20 rounds of Threefry.

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
    """uint32 `[count]`, independent and uniform: the blocks (0, 0), (1, 0), (2, 0), ... under the key.

    Args:
      key: PRNG key, consumed; of JAX's other implementations than Threefry too, whose first two words are as random.
      count: of words, at most 2^33.
    """
    counter = jax.lax.iota(jnp.uint32, (count + 1) // 2)
    blocks = threefry_2x32(jax.random.key_data(key)[:2], counter, jnp.zeros_like(counter))
    # Behind the barrier: fused into each of their readers, the rounds would be computed again for each. A block's words
    # lie side by side, so that a device that has a part of the batch draws the words of that part, and asks no other.
    return jnp.stack(jax.lax.optimization_barrier(blocks), axis=-1).ravel()[:count]
