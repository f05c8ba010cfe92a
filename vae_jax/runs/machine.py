"""Machine of a run: devices, versions, memory, and the cache of compiled programs."""

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
    """Versions of Python and of the packages that the results depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def seconds_since_start() -> float:
    """Seconds since this process began to import vae_jax.

    The start of the process itself could be much earlier, for example before an installation in a notebook.
    """
    return time.monotonic() - BEGAN


def keep_compiled_programs() -> None:
    """Caches compiled programs on disk, so that the next process does not compile them again.

    The folder is that of JAX's environment variable JAX_COMPILATION_CACHE_DIR (empty: no cache), or by default
    `vae_jax` in the user's cache folder.
    """
    configured = jax.config.values["jax_compilation_cache_dir"]
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and configured is None:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(caches) / "vae_jax"))
        # By default JAX does not cache programs that compile in under a second, of which an experiment has dozens.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def check_fits(init: Callable[[jax.Array], Params], optimizer: GradientTransformation, models: int, flags: str) -> None:
    """Checks that the parameters of the models, their gradients and the state of the optimizer fit in memory.

    Args:
      init: (key) -> params of one model; only traced.
      optimizer: optimizer of the params; its `init` is only traced.
      models: number of models that are trained at once.
      flags: description of the settings that determine the size, for the message.

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
