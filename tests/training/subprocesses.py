"""Runs Python programs of these tests in processes of their own, with a given number of simulated devices."""

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

TESTS = Path(__file__).parents[1]
# True if programs are compiled as users compile them: by XLA's ordinary emitters, with all optimizations.
ORDINARY = os.environ.get("VAE_JAX_ORDINARY_COMPILATION") == "1"
# LLVM compiles the output of XLA's former emitters of fused operations in half the time, and a program as one module,
# which XLA otherwise splits for many cores, in a tenth less time. A process stops at an unknown XLA flag, so these are
# only set for versions known to have them.
_KNOWN = version("jaxlib").startswith(("0.8.", "0.10."))
_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
SOON_COMPILED = _FLAGS if _KNOWN and not ORDINARY else ""


def environment(devices=1):
    """Environment of a process with simulated devices, which imports this package and tests and caches compilations."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {SOON_COMPILED}".strip(),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(not ORDINARY)),
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        "JAX_COMPILATION_CACHE_DIR": str(TESTS.parent / ".pytest_cache" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def start(*words, devices=1, **options):
    """Starts `python WORDS`, with stdout and stderr in one pipe."""
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(
        command, env=environment(devices), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def finish(process, seconds=60):
    """Waits for a process; returns its output and exit code. A process that takes too long is ended."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s; its output: {output}") from None
    return output, process.returncode


def run(*words, devices=1, seconds=60):
    """Runs `python WORDS`, which must succeed; returns its output."""
    output, code = finish(start(*words, devices=devices), seconds)
    assert code == 0, output
    return output


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]
