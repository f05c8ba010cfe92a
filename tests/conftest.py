"""Strictness for every test, and programs compiled once and soon.

A silent broadcast is an error (`filterwarnings = error` is in pyproject.toml). Compiled programs are kept beside
pytest's own cache, so that a second run of the tests spends its time on the tests. Nearly all of the first is LLVM's,
which is told to optimize little (`training.subprocesses`); the commands of users that tests run as processes are
compiled as everywhere. With VAE_JAX_ORDINARY_COMPILATION=1 in the environment everything is compiled as users have it.
"""

import gc
import logging
import os
import sys
import threading
from pathlib import Path

import jax
import pytest

from training.subprocesses import ORDINARY, SOON_COMPILED

# XLA reads its flags once, when the first client starts; processes that tests start do not inherit them.
with pytest.MonkeyPatch.context() as patch:
    if SOON_COMPILED:  # XLA stops at a blank
        patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {SOON_COMPILED}".strip())
    jax.devices()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", not ORDINARY)
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_modifyitems(items):
    """Tests that share a fixture of a minute come first, for idle workers take tests from the end of others' lines."""
    items.sort(key=lambda item: item.path.name != "test_many_devices.py")


def pytest_collection_finish():
    """The modules and tests live to the end: the garbage collector, which tracing wakes often, passes over them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def programs_let_go():
    """Each live program holds three mappings of memory or so; Linux allows a process 65,530, and XLA then crashes."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and len(mappings.read_bytes().splitlines()) > 30_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def errors_of_threads_are_seen():
    """A command that ends at a full disk silences its process; here that is the tests' own, which goes on."""
    hooks, loggers = (sys.unraisablehook, threading.excepthook), [logging.getLogger(n) for n in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    if getattr(sys.unraisablehook, "__module__", None) == "vae_jax.cli.exits":
        sys.unraisablehook, threading.excepthook = hooks
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
