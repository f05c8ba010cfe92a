"""One compiled program over many examples, a batch at a time, so that a long evaluation shows progress and can stop."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def in_batches(
    program: Callable[[jax.Array], Any],
    num_examples: int,
    batch_size: int,
    on_batch: Callable[[Any], None] | None = None,
) -> Any:
    """`program(indices)` for all examples, batch_size of them a call, and always with that many indices.

    Args:
      program: indices `[B]` of examples -> pytree of arrays, each with a leading axis `[B]`; jitted, it is compiled
        once, for the last batch is filled up with the last index.
      num_examples: N, at least 1.
      batch_size: B; N where that is smaller.
      on_batch: called with the results of each batch, without what fills it up, as soon as they are there.

    Returns:
      The pytree, each leaf with a leading axis `[N]`.
    """
    batch_size = min(batch_size, num_examples)
    batches = []
    for start in range(0, num_examples, batch_size):
        # By numpy: each of these operations would be a program of its own, to be compiled.
        indices = np.minimum(np.arange(start, start + batch_size, dtype=np.int32), num_examples - 1)
        batch = program(jnp.asarray(indices))
        if start + batch_size > num_examples:
            batch = jax.tree.map(itemgetter(slice(num_examples - start)), batch)
        # Waiting keeps the queue of programs short: what is reported is done, and an interrupt takes effect.
        batches.append(jax.block_until_ready(batch))
        if on_batch is not None:
            on_batch(batch)
    return batches[0] if len(batches) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)
