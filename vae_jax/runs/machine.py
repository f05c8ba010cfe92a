"""The machine that a run is on: its devices, versions, memory and kept programs."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jax
from optax import GradientTransformation

from vae_jax._clock import BEGAN
from vae_jax.memory import memory_bytes
from vae_jax.params import Params, split_buffers

_PACKAGES = ("vae_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def device_name() -> str:
    """Name of the device, such as "cpu (2 cores)" or "gpu (NVIDIA H200) x 8"."""
    device = jax.devices()[0]
    kind = f"{os.cpu_count()} cores" if device.platform == "cpu" else device.device_kind
    count = f" x {jax.device_count()}" if jax.device_count() > 1 else ""
    return f"{device.platform} ({kind}){count}"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def seconds_since_start() -> float:
    """Seconds since this process began to import vae_jax.

    The process's own start would include what its shell did before, such as an installation.
    """
    return time.monotonic() - BEGAN


def keep_compiled_programs() -> None:
    """Keeps compiled programs on disk, so that the next process need not compile them again.

    They go to the folder that the environment's JAX_COMPILATION_CACHE_DIR names (JAX's own variable; an empty one turns
    this off), else to `vae_jax` in the user's cache.
    """
    configured = jax.config.values["jax_compilation_cache_dir"]
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and configured is None:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(caches) / "vae_jax"))
        # JAX leaves out what compiled in under a second: an experiment has dozens of those.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def check_fits(init: Callable[[jax.Array], Params], optimizer: GradientTransformation, models: int, flags: str) -> None:
    """Checks that the parameters of the models, their gradients and the state of the optimizer fit in memory.

    Args:
      init: (key) -> params of one model; it is traced, not run.
      optimizer: trains them; so is its `init`.
      models: number of models that are trained at once.
      flags: words for the settings that decide the size, for the message.

    Raises:
      ValueError: they do not fit.
    """
    params = jax.eval_shape(init, jax.random.key(0))
    trained, _ = split_buffers(params)
    in_memory = jax.tree.leaves((params, trained, jax.eval_shape(optimizer.init, trained)))
    needed = models * sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in in_memory)
    available = memory_bytes()
    if available is not None and needed > available:
        numbers = models * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
        raise ValueError(
            f"{flags}: the {numbers:,} parameters need {needed / 2**30:,.1f} GiB to be trained, but there are "
            f"{available / 2**30:,.1f} GiB of memory: give smaller numbers"
        )
