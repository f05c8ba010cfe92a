"""Strict settings for every test, and fast compilation.

A silent broadcast is an error (`filterwarnings = error` is in pyproject.toml). Compiled programs are cached beside
pytest's cache, so that later runs of the tests do not compile. The first run spends most of its time in LLVM, which is
therefore told to optimize little (`training.subprocesses`), except in commands that tests run as processes. With
VAE_JAX_ORDINARY_COMPILATION=1 in the environment everything is compiled as it is for users.
"""

import functools
import gc
import logging
import os
import sys
import threading
from pathlib import Path

import jax
import pytest
from jax._src.interpreters import mlir

from training.subprocesses import ORDINARY, SOON_COMPILED

# XLA reads its flags once, when the first client starts; subprocesses of tests do not inherit them.
with pytest.MonkeyPatch.context() as patch:
    if SOON_COMPILED:  # XLA aborts if the flags are blank
        patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {SOON_COMPILED}".strip())
    jax.devices()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", not ORDINARY)
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# A new context for each program takes a fifth of a small program's compilation, and 1 MB that is not given back: the
# programs of a module share one.
mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def pytest_collection_modifyitems(items):
    """Moves tests that share a fixture of a minute to the front: idle workers take tests from the end of a queue."""
    items.sort(key=lambda item: item.path.name != "test_many_devices.py")


def pytest_collection_finish():
    """Excludes modules and tests, which live to the end, from garbage collection, which tracing triggers often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def programs_let_go():
    """Clears compiled programs: each has about three memory mappings, and XLA crashes above Linux's limit of 65,530."""
    yield
    mlir.make_ir_context.cache_clear()  # a context keeps the constants of its programs
    mappings = Path("/proc/self/maps")
    if mappings.exists() and len(mappings.read_bytes().splitlines()) > 30_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def errors_of_threads_are_seen():
    """Restores hooks and log levels, which a command that ends at a full disk changes in its process."""
    hooks, loggers = (sys.unraisablehook, threading.excepthook), [logging.getLogger(n) for n in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    if getattr(sys.unraisablehook, "__module__", None) == "vae_jax.cli.exits":
        sys.unraisablehook, threading.excepthook = hooks
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
