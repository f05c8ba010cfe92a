"""Size of this machine's memory, and checks that arrays and programs fit in it before they take it."""

from __future__ import annotations

import math
import os
from typing import Any

import jax


def memory_bytes() -> int | None:
    """Memory of the first device, or of this machine if that is the device; None if it is not known."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


class DoesNotFit(ValueError):
    """A program needs more memory than its device has."""


def check_fits(program: jax.stages.Compiled, num_models: int, shared_bytes: int, limit: int | None = None) -> None:
    """Raises DoesNotFit if a program of M models needs more memory than its device has, with the M that would fit.

    Args:
      program: compiled; takes the state of M models, and `shared_bytes` of data that does not grow with M.
      num_models: M.
      shared_bytes: of the arguments that all models share.
      limit: bytes of the device; None asks it.
    """
    needed, limit = bytes_of(program), memory_bytes() if limit is None else limit
    if limit is None or needed is None or needed <= limit:
        return
    each = (needed - shared_bytes) / num_models
    fit = max(0, int((limit - shared_bytes) // each))
    raise DoesNotFit(
        f"{num_models} models need {needed / 2**30:.2f} GiB at once, and the device has {limit / 2**30:.2f}: {fit} "
        "would fit; train them in several runs, or with a smaller batch"
    )


def check_state_fits(shapes: Any, limit: int | None = None) -> None:
    """Raises DoesNotFit if the parameters and all that goes with them are larger than the device's memory.

    Args:
      shapes: a tree of what will be made, of `jax.eval_shape`.
      limit: bytes of the device; None asks it.
    """
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    limit = memory_bytes() if limit is None else limit
    if limit is not None and needed > limit:
        raise DoesNotFit(
            f"the parameters and the optimizer's state need {needed / 2**30:,.1f} GiB, and the device has "
            f"{limit / 2**30:,.1f}: make the model smaller"
        )


def bytes_of(program: jax.stages.Compiled) -> int | None:
    """The most memory that a compiled program holds, its arguments included; None if the backend does not say."""
    sizes = program.memory_analysis()
    if sizes is None:
        return None
    outputs = sizes.output_size_in_bytes - sizes.alias_size_in_bytes  # donated arguments count once
    return sizes.argument_size_in_bytes + outputs + sizes.temp_size_in_bytes
