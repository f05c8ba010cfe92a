"""Workloads by name, and checks of the options for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax

from experiments.lib.benchmark.inference import importance_sampling_work, sampling_work
from experiments.lib.benchmark.train import cifar_work, conv_work, ensemble_work, mlp_work
from experiments.lib.benchmark.work import Setup, Work

WORKS: dict[str, Callable[[Setup], Work]] = {
    "mlp_vae": mlp_work,
    "conv_vae": conv_work,
    "conv_cifar": cifar_work,
    "importance_sampling": importance_sampling_work,
    "ensemble": ensemble_work,
    "sampling": sampling_work,
}
BATCHES = {"mlp_vae": 128, "conv_vae": 64, "conv_cifar": 32, "sampling": 1000}  # of workloads that devices can share


def check(works: Sequence[str], setup: Setup) -> None:
    """Raises ValueError if a workload is unknown, or the devices or the batch size do not suit it."""
    for name in works:
        if name not in WORKS:
            raise ValueError(f"--work must name workloads of {', '.join(WORKS)}, got {name}")
    if setup.devices < 1:
        raise ValueError(f"--devices must be at least 1, got {setup.devices}")
    if setup.batch_size is not None and setup.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {setup.batch_size}")
    available = jax.device_count()
    if setup.devices > available:
        platform = jax.devices()[0].platform
        simulate = f"XLA_FLAGS=--xla_force_host_platform_device_count={setup.devices} simulates them"
        hint = f"; {simulate}" if platform == "cpu" else ""
        raise ValueError(
            f"--devices must be at most {available}, the number of {platform} devices, got {setup.devices}{hint}"
        )
    for name in works:
        if setup.batch_size is not None and name not in BATCHES:
            raise ValueError(
                f"--batch-size applies to the workloads {', '.join(BATCHES)}; --work {name} has a fixed batch size"
            )
        if setup.devices > 1 and name not in BATCHES:
            raise ValueError(
                f"--devices {setup.devices} applies to the workloads {', '.join(BATCHES)}; --work {name} runs on one"
            )
        batch = setup.batch_size or BATCHES.get(name, setup.devices)
        if batch % setup.devices:
            raise ValueError(f"--devices must divide the batch size of {name}, {batch}, got {setup.devices}")
