"""A fresh start of one work, in a process of its own: `python -m experiments.lib.benchmark.start WORK SETUP`.

It takes one step and then a whole round, and prints as JSON when the step had ended, and the most memory it held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import jax

from experiments.lib.benchmark.work import Setup
from experiments.lib.benchmark.works import WORKS


class Start(NamedTuple):
    """What one start took."""

    seconds: float  # from the command to the end of the first step
    peak_memory_bytes: int  # of a round


def measure_starts(work: str, setup: Setup) -> tuple[Start, Start]:
    """Two starts of the work, one after the other: the first compiles, the second finds what the first has compiled."""
    with tempfile.TemporaryDirectory() as cache:
        return _start(work, setup, cache), _start(work, setup, cache)


def _start(work: str, setup: Setup, cache: str) -> Start:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the process that asks may hold memory of the same GPU
    }
    command = [sys.executable, "-m", "experiments.lib.benchmark.start", work, json.dumps(setup)]
    begun = time.time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"a fresh start of {work} failed:\n{done.stderr}")
    ended, peak = json.loads(done.stdout.splitlines()[-1])
    return Start(ended - begun, peak)


def peak_memory_bytes() -> int:
    """The most that this process has held: of the first device where it says so, else of the host's memory."""
    statistics = jax.devices()[0].memory_stats()
    if statistics:
        return statistics["peak_bytes_in_use"]
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    make, setup = WORKS[sys.argv[1]], Setup(*json.loads(sys.argv[2]))
    make(setup._replace(steps=1)).round()
    first = time.time()
    make(setup).round()
    print(json.dumps([first, peak_memory_bytes()]))
