"""The processes of one run, on one host or many: how they meet, and what each learns of the others.

They meet by JAX's distributed runtime, with messages of what fails; every process runs the same program with the same
settings. All else here is right in a run of a single process too, in which there is nothing to agree on.
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
# How long a process may be silent before the others end: they learn of a dead one within twice this.
_HEARTBEAT_SECONDS = 25
# At the end of a run each waits for all: the first still writes its report then. A dead process ends the wait early.
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
    """Joins this process to the others of its run; before anything else is asked of JAX.

    Args:
      coordinator: "HOST:PORT", where process 0 runs and on which free port of its host it shall listen.
      num_processes: of the run.
      process_id: of this one, from 0.
      answer_seconds: how long the coordinator may take to listen.
      meeting_seconds: how long the others may take to come after that; if they do not, the process says so on
        stderr and exits with code 2, as JAX's runtime cannot be left by an exception.
      heartbeat_seconds: how long a process may be silent before the others end.

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
        f"not all of the {num_processes} processes have met at coordinator {coordinator}: start one with each "
        f"process_id from 0 to {num_processes - 1}, process 0 on the coordinator's host"
    )
    # Given arguments are not to be completed by what JAX finds in the environment.
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
    """`start` with what the cluster's environment says: Slurm, Open MPI, Cloud TPU or Kubernetes, as JAX detects them.

    Raises:
      ValueError: if JAX finds itself in none of these.
    """
    missing = (
        "not all processes that the cluster's environment speaks of have met: look for one that has not started, and "
        "for a firewall between the hosts"
    )
    try:
        _meet(missing, meeting_seconds, heartbeat_seconds)
    except ValueError as error:
        raise ValueError(
            "JAX detects no cluster (Slurm, Open MPI, Cloud TPU, Kubernetes) in this process's environment: name "
            f"coordinator, num_processes and process_id instead ({error})"
        ) from error


def _meet(missing: str, seconds: float, heartbeat_seconds: int, **given: Any) -> None:
    """Joins the others by JAX's runtime; if they have not come after so many seconds, says so and exits with code 2."""

    def end() -> None:
        print(f"error: after {seconds:g} s {missing}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=int(seconds) + 60,  # after ours: at its own, JAX ends the process with a stack trace
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
            f"coordinator {coordinator}: process 0 cannot listen on this port ({error.strerror})"
        ) from None


def _wait_for(coordinator: str, address: tuple[str, int], seconds: float) -> None:
    """Returns as soon as something listens at the address."""
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
    """Returns whether this process writes the run's files and speaks to the user: the first, or the only one."""
    return jax.process_index() == 0


def from_writer(value: Any) -> Any:
    """The value that the writer gives, in every process. All must call it, as often, in the same order.

    Args:
      value: JSON-like; of the others' it is not even looked at.
    """
    return from_all(value if is_writer() else None)[0]


def from_all(value: Any) -> list[Any]:
    """The JSON-like values that all processes give, in every process. All must call it, as `from_writer`."""
    if jax.process_count() == 1:
        return [json.loads(json.dumps(value))]
    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(own.size))
    everyones = multihost_utils.process_allgather(np.pad(own, (0, int(sizes.max()) - own.size)))
    return [json.loads(row[:size].tobytes()) for row, size in zip(everyones, sizes, strict=True)]
