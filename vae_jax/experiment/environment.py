"""What a number was measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax

from vae_jax._clock import BEGAN

_PACKAGES = ("vae_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def device_name() -> str:
    """For example "cpu (2 cores)" or "gpu (NVIDIA H200)"; with the count where there is more than one."""
    device = jax.devices()[0]
    kind = f"{os.cpu_count()} cores" if device.platform == "cpu" else device.device_kind
    count = f" x {jax.device_count()}" if jax.device_count() > 1 else ""
    return f"{device.platform} ({kind}){count}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def seconds_since_start() -> float:
    """Seconds since this process began to import vae_jax.

    The process's own start would include what its shell did before, such as an installation.
    """
    return time.monotonic() - BEGAN


def keep_compiled_programs() -> None:
    """Lets the programs that this process compiles be found again by the next, so that its second start is quick.

    They go to the folder that the environment's JAX_COMPILATION_CACHE_DIR names (JAX's own variable; an empty one turns
    this off), else to `vae_jax` in the user's cache.
    """
    configured = jax.config.values["jax_compilation_cache_dir"]
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and configured is None:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(caches) / "vae_jax"))
        # JAX leaves out what compiled in under a second: an experiment has dozens of those.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
