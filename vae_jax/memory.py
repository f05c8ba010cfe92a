"""Size of this machine's memory, and checks that arrays and programs fit before memory is allocated."""

from __future__ import annotations

import math
import os
from typing import Any

import jax


def memory_bytes() -> int | None:
    """Memory of the first device in bytes (for a CPU, of this machine), or None if it is unknown."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


class DoesNotFit(ValueError):
    """Raised if a program needs more memory than its device has."""


def check_fits(program: jax.stages.Compiled, num_models: int, shared_bytes: int, limit: int | None = None) -> None:
    """Raises DoesNotFit if a program of M models needs more memory than its device has; the message has an M that fits.

    Args:
      program: Compiled program of the states of M models and of `shared_bytes` of data that do not grow with M.
      num_models: Number of models M.
      shared_bytes: Bytes of the arguments that all models share.
      limit: Memory in bytes. Default: that of the first device.
    """
    needed, limit = bytes_of(program), memory_bytes() if limit is None else limit
    if limit is None or needed is None or needed <= limit:
        return
    each = (needed - shared_bytes) / num_models
    fit = max(0, int((limit - shared_bytes) // each))
    raise DoesNotFit(
        f"{num_models} models at once need {needed / 2**30:.2f} GiB, but the device has {limit / 2**30:.2f} GiB, "
        f"enough for {fit}: train them in several runs, or with a smaller batch size"
    )


def check_state_fits(shapes: Any, limit: int | None = None) -> None:
    """Raises DoesNotFit if the parameters and the optimizer state are larger than the device's memory.

    Args:
      shapes: Tree of shapes and types of all arrays, made by `jax.eval_shape`.
      limit: Memory in bytes. Default: that of the first device.
    """
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    limit = memory_bytes() if limit is None else limit
    if limit is not None and needed > limit:
        raise DoesNotFit(
            f"parameters and optimizer state need {needed / 2**30:,.1f} GiB, but the device has "
            f"{limit / 2**30:,.1f} GiB: make the model smaller"
        )


def bytes_of(program: jax.stages.Compiled) -> int | None:
    """Peak memory of a compiled program in bytes, including its arguments, or None if the backend does not tell."""
    sizes = program.memory_analysis()
    if sizes is None:
        return None
    outputs = sizes.output_size_in_bytes - sizes.alias_size_in_bytes  # donated arguments count once
    return sizes.argument_size_in_bytes + outputs + sizes.temp_size_in_bytes
