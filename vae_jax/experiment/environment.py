"""What a number was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import jax

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
