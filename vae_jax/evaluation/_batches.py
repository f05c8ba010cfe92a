"""Evaluation of one compiled program in batches, so that a long evaluation shows progress and can be interrupted."""

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
    """Calls `program(indices)` for all examples, always with batch_size indices; returns the joined results.

    Args:
      program: indices `[B]` of examples -> pytree of arrays, each with a leading axis `[B]`. If jitted, it is compiled
        once, because the last batch is padded with the last index.
      num_examples: N, at least 1.
      batch_size: B; reduced to N if N is smaller.
      on_batch: called with the results of each batch, without the padding, as soon as they are computed.

    Returns:
      The pytree, each leaf with a leading axis `[N]`.
    """
    batch_size = min(batch_size, num_examples)
    batches = []
    for start in range(0, num_examples, batch_size):
        # In numpy, because JAX would compile a program for each of these operations.
        indices = np.minimum(np.arange(start, start + batch_size, dtype=np.int32), num_examples - 1)
        batch = program(jnp.asarray(indices))
        if start + batch_size > num_examples:
            batch = jax.tree.map(itemgetter(slice(num_examples - start)), batch)
        # Waiting keeps the queue of programs short: reported batches are finished, and an interrupt takes effect.
        batches.append(jax.block_until_ready(batch))
        if on_batch is not None:
            on_batch(batch)
    return batches[0] if len(batches) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)
