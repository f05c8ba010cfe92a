"""Check that a model can be trained in this machine's memory, before anything is allocated or written."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax

from vae_jax.memory import memory_bytes
from vae_jax.params import Params

_COPIES = 4  # of the parameters: themselves, their gradient, and the two moments of Adam


def check_fits(init: Callable[[jax.Array], Params], models: int, flags: str) -> None:
    """Checks that the parameters of the models, with what their optimizer keeps, fit in memory.

    Args:
      init: (key) -> params of one model; it is traced, not run.
      models: how many are trained at once.
      flags: that decide the size, for the message.

    Raises:
      ValueError: they do not fit.
    """
    leaves = jax.tree.leaves(jax.eval_shape(init, jax.random.key(0)))
    numbers = models * sum(math.prod(leaf.shape) for leaf in leaves)
    needed = _COPIES * models * sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    available = memory_bytes()
    if available is not None and needed > available:
        raise ValueError(
            f"{flags}: the {numbers:,} parameters need {needed / 2**30:,.1f} GiB to be trained, but there are "
            f"{available / 2**30:,.1f} GiB of memory: give smaller numbers"
        )
