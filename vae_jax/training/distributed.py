"""Runs of several processes, on one host or many: starting them, and exchanging values between them.

The processes connect by JAX's distributed runtime, with clear messages for failures; every process runs the same
program with the same settings. Everything except `start` and `start_detected` also works in a run of a single process.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

_MEETING_SECONDS = 300.0
# Time without a heartbeat from a process after which the others end; they notice a dead process within twice this.
_HEARTBEAT_SECONDS = 25
# At the end of a run each process waits for the first, which writes the report. A dead process ends the wait early.
_SHUTDOWN_SECONDS = 7 * 24 * 3600


def start(
    coordinator: str,
    num_processes: int,
    process_id: int,
    *,
    answer_seconds: float = 15.0,
    meeting_seconds: float = _MEETING_SECONDS,
    heartbeat_seconds: int = _HEARTBEAT_SECONDS,
) -> None:
    """Connects this process with the others of its run; must be called before JAX initializes its devices.

    Args:
      coordinator: "HOST:PORT", the host of process 0 and a free port of that host on which it listens.
      num_processes: number of processes of the run.
      process_id: number of this process, from 0.
      answer_seconds: time in which the coordinator must start to listen.
      meeting_seconds: time after that in which all other processes must connect; otherwise the process prints an
        error to stderr and exits with code 2, because JAX's runtime cannot be left by an exception.
      heartbeat_seconds: time without a heartbeat from a process after which the others end.

    Raises:
      ValueError: if an argument is out of range, the port is taken, or the coordinator does not answer.
    """
    host, separator, port = coordinator.rpartition(":")
    if not (host and separator and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"coordinator must be HOST:PORT, such as localhost:12345, got {coordinator!r}")
    if num_processes < 1:
        raise ValueError(f"num_processes must be at least 1, got {num_processes}")
    if not 0 <= process_id < num_processes:
        raise ValueError(f"process_id must be between 0 and {num_processes - 1}, got {process_id}")
    if process_id == 0:
        _check_free(coordinator, int(port))
    else:
        _wait_for(coordinator, (host.strip("[]"), int(port)), answer_seconds)
    missing = (
        f"not all of the {num_processes} processes have connected to coordinator {coordinator}: start one process with "
        f"each process_id from 0 to {num_processes - 1}, process 0 on the coordinator's host"
    )
    # JAX must not complete the given arguments from the environment.
    given: dict[str, Any] = {
        "num_processes": num_processes,
        "process_id": process_id,
        "cluster_detection_method": "deactivate",
    }
    _meet(missing, meeting_seconds, heartbeat_seconds, coordinator_address=coordinator, **given)
    if jax.process_count() != num_processes:
        raise ValueError(
            f"num_processes must be the same in all processes, got {num_processes} in process {process_id} and "
            f"{jax.process_count()} in process 0"
        )


def start_detected(*, meeting_seconds: float = _MEETING_SECONDS, heartbeat_seconds: int = _HEARTBEAT_SECONDS) -> None:
    """Connects as `start` does, with the settings that JAX detects of Slurm, Open MPI, Cloud TPU or Kubernetes.

    Raises:
      ValueError: if JAX detects none of these.
    """
    missing = (
        "not all processes of the cluster's environment have connected: look for a process that has not started, or "
        "a firewall between the hosts"
    )
    try:
        _meet(missing, meeting_seconds, heartbeat_seconds)
    except ValueError as error:
        raise ValueError(
            "JAX detects no cluster (Slurm, Open MPI, Cloud TPU, Kubernetes) in this process's environment: give "
            f"coordinator, num_processes and process_id instead ({error})"
        ) from error


def _meet(missing: str, seconds: float, heartbeat_seconds: int, **given: Any) -> None:
    """Connects by JAX's runtime; if that takes longer than `seconds`, prints an error and exits with code 2."""

    def end() -> None:
        print(f"error: after {seconds:g} s {missing}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=int(seconds) + 60,  # later than ours: JAX's ends the process with a stack trace
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    finally:
        timer.cancel()


def _check_free(coordinator: str, port: int) -> None:
    # JAX's runtime crashes if the port is taken.
    dual = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if dual else socket.AF_INET
        socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
    except OSError as error:
        raise ValueError(
            f"coordinator {coordinator}: process 0 cannot listen on port {port} ({error.strerror})"
        ) from None


def _wait_for(coordinator: str, address: tuple[str, int], seconds: float) -> None:
    """Waits until a server listens at the address; raises ValueError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(address, timeout=max(0.1, deadline - time.monotonic())).close()
        except OSError as error:
            if time.monotonic() + 0.5 > deadline:
                raise ValueError(
                    f"no answer from coordinator {coordinator} within {seconds:g} s ({error.strerror or error}): is "
                    "process 0 running there, and the port open to this host?"
                ) from None
        time.sleep(0.25)


def is_writer() -> bool:
    """Returns True in the process that writes the run's files and messages: the first, or the only one."""
    return jax.process_index() == 0


def from_writer(value: Any) -> Any:
    """Returns the writer's value in every process. All processes must call it equally often, in the same order.

    Args:
      value: JSON-like; ignored in all processes but the writer.
    """
    return from_all(value if is_writer() else None)[0]


def from_all(value: Any) -> list[Any]:
    """Returns the JSON-like values of all processes in every process. All must call it, as for `from_writer`."""
    if jax.process_count() == 1:
        return [json.loads(json.dumps(value))]
    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(own.size))
    rows = multihost_utils.process_allgather(np.pad(own, (0, int(sizes.max()) - own.size)))
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
