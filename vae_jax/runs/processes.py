"""Devices and processes of a run: the processes are given the same settings, and end together."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from vae_jax.differences import as_json, differing
from vae_jax.runs.options import Processes
from vae_jax.runs.settings import Machines, Training
from vae_jax.training.distributed import from_all, start, start_detected
from vae_jax.training.sharding import data_mesh, examples_per_device


def check_same(config: Mapping[str, Any]) -> None:
    """Checks that all processes of a run were started with the same JSON-like settings. Every process must call it.

    Raises:
      ValueError: raised in every process; the message names the fields that differ and their values.
    """
    first, *others = from_all(as_json(config))
    for process, other in enumerate(others, 1):
        if differences := differing(first, other, names=("process 0", f"process {process}")):
            raise ValueError(f"all processes of a run must be given the same settings, but these differ: {differences}")


@contextlib.contextmanager
def ending_together(advice: str = "") -> Iterator[None]:
    """Ends this process at once if its work fails, and with it the other processes of the run.

    Without this, a failing process would wait for the others at its exit, while they wait for it in their next
    collective operation. A line on stderr tells whether another process has ended; any other error leaves its
    traceback. The exit code is 1, or that of SystemExit, Ctrl-C or SIGTERM. A process that has not joined others just
    raises its error.

    Args:
      advice: advice to the user, added to the line on stderr.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized() or (isinstance(error, SystemExit) and not error.code):
            raise
        code: Any = 1
        if isinstance(error, SystemExit):
            code = error.code
        elif isinstance(error, KeyboardInterrupt):
            code = 128 + getattr(error, "number", signal.SIGINT)
        else:
            _explain(error, advice)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _explain(error: BaseException, advice: str) -> None:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    # Names that occur in the errors of the collectives and of the runtime if another process does not answer.
    if any(name in str(error) for name in ("Gloo", "NCCL", "RCCL", "coordination service", "UNAVAILABLE")):
        process = f"process {jax.process_index()} of {jax.process_count()}"
        fault = f"another process of the run has ended, and {process} ends with it"
    else:
        traceback.print_exception(error)
        fault = "this process of the run has failed"
    print(f"error: {fault}{advice and '; '}{advice} ({text})", file=sys.stderr)


def join_processes(options: Any) -> None:
    """Joins the other processes of the run if the options say that there are others. Call it before JAX is used.

    Args:
      options: settings or options; nothing is joined if they have no fields of `Processes`.

    Raises:
      ValueError: if the flags contradict one another, or the processes do not reach one another.
    """
    if not isinstance(options, Processes):
        return
    given = {
        "--coordinator": options.coordinator,
        "--num-processes": options.num_processes,
        "--process-id": options.process_id,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if options.distributed:
        if len(missing) < len(given):
            raise ValueError(
                "--distributed detects the processes itself: leave --coordinator, --num-processes and --process-id out"
            )
        start_detected()
        _keep_stdout()
    elif len(missing) < len(given):
        if options.coordinator is None or options.num_processes is None or options.process_id is None:
            raise ValueError(
                "--coordinator, --num-processes and --process-id must be given together, got no "
                f"{' and no '.join(missing)}"
            )
        start(options.coordinator, options.num_processes, options.process_id)
        _keep_stdout()


def _keep_stdout() -> None:
    """Redirects the output of C++ libraries on stdout to stderr: Gloo names its peers there."""
    sys.stdout.flush()
    number = sys.stdout.fileno()
    own = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding)  # the former one stays open, as sys.__stdout__


def mesh_of(settings: Any) -> Mesh | None:
    """Mesh to train on, or None for a single process on its first device.

    Raises:
      ValueError: if there are too few devices, they do not divide the batch, or several models are to be trained.
    """
    if not isinstance(settings, Machines) or (settings.devices is None and jax.process_count() == 1):
        return None
    assert isinstance(settings, Training)
    if settings.seeds > 1:
        raise ValueError(f"--seeds must be 1 on several devices, which train one model at a time, got {settings.seeds}")
    try:
        mesh = data_mesh(settings.devices)
    except ValueError as error:
        raise ValueError(f"--devices {settings.devices}: {error}") from error
    try:
        examples_per_device(settings.resolved_batch_size, mesh)
    except ValueError as error:
        raise ValueError(f"--batch-size {settings.batch_size}: {error}") from error
    return mesh
