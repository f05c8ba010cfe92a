"""Fresh start of one workload in its own process: `python -m experiments.lib.benchmark.start WORK SETUP`.

The process runs one step and then a whole round, and prints the end time of the step and its peak memory as JSON.
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
    """Measurements of one start."""

    seconds: float  # from the command to the end of the first step
    peak_memory_bytes: int  # peak memory of a round


def measure_starts(work: str, setup: Setup) -> tuple[Start, Start]:
    """Measures two starts, one after the other: the first compiles, the second uses the compiled programs."""
    with tempfile.TemporaryDirectory() as cache:
        return _start(work, setup, cache), _start(work, setup, cache)


def _start(work: str, setup: Setup, cache: str) -> Start:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # this process may hold memory of the same GPU
    }
    command = [sys.executable, "-m", "experiments.lib.benchmark.start", work, json.dumps(setup)]
    begun = time.time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"a fresh start of {work} failed:\n{done.stderr}")
    ended, peak = json.loads(done.stdout.splitlines()[-1])
    return Start(ended - begun, peak)


def peak_memory_bytes() -> int:
    """Peak memory of this process: of the first device if it reports that, else of the host."""
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
