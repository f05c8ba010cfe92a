"""Size of this machine's memory."""

from __future__ import annotations

import os

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
