"""The devices and processes of an experiment, as its flags name them."""

from __future__ import annotations

import os
import sys

import jax
from jax.sharding import Mesh

from vae_jax.experiment.settings import Settings
from vae_jax.training.distributed import start, start_detected
from vae_jax.training.sharding import data_mesh, examples_per_device


def join_processes(settings: Settings) -> None:
    """Joins the run's other processes, where the flags speak of any; before anything else is asked of JAX.

    Raises:
      ValueError: where the flags do not go together, or the processes do not meet.
    """
    given = {
        "--coordinator": settings.coordinator,
        "--num-processes": settings.num_processes,
        "--process-id": settings.process_id,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if settings.distributed:
        if len(missing) < len(given):
            raise ValueError(f"--distributed finds out for itself what {', '.join(given)} say: leave those out")
        start_detected()
        _keep_stdout()
    elif len(missing) < len(given):
        if settings.coordinator is None or settings.num_processes is None or settings.process_id is None:
            raise ValueError(f"{', '.join(given)} go together: {' and '.join(missing)} missing")
        start(settings.coordinator, settings.num_processes, settings.process_id)
        _keep_stdout()


def _keep_stdout() -> None:
    """Sends to stderr what C++ libraries print on stdout: Gloo names its peers, and only the summary belongs there."""
    sys.stdout.flush()
    number = sys.stdout.fileno()
    own = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding)  # the former one stays open, as sys.__stdout__


def mesh_of(settings: Settings) -> Mesh | None:
    """The mesh to train on; None for a single process on its first device.

    Raises:
      ValueError: where there are fewer devices, or they do not divide the batch, or several models are to be trained.
    """
    if settings.devices is None and jax.process_count() == 1:
        return None
    if settings.seeds > 1:
        raise ValueError(f"--seeds {settings.seeds}: several devices train one model at a time, got --seeds above 1")
    try:
        mesh = data_mesh(settings.devices)
    except ValueError as error:
        raise ValueError(f"--devices {settings.devices}: {error}") from error
    try:
        examples_per_device(settings.resolved_batch_size, mesh)
    except ValueError as error:
        raise ValueError(f"--batch-size {settings.batch_size}: {error}") from error
    return mesh
