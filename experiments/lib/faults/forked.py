"""Commands in forked processes: imports happen once, and every case starts in a process without a JAX backend.

Only the standard library is imported here until `preload`, which a program must call first.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pkgutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads start at the import, before a fork
_BLANK = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe"
    "0def46b80000000049454e44ae426082"
)
_LAZY = ("PIL.Image", "joblib", "matplotlib.backends.backend_agg", "sklearn.ensemble", "tensorstore")
_FIGURES = ("model_figures", "code_figures", "surgery_figures", "run_figures")


class Outcome(NamedTuple):
    """Outcome of a process."""

    code: int | None  # exit code, or minus the number of the signal that ended it; None after a timeout
    seconds: float
    out: str
    err: str
    cpu_seconds: float = 0.0

    @property
    def last_line(self) -> str:
        """Last line on stderr that is not blank."""
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1][:400] if lines else ""


def preload(cache: Path, figures: bool = False) -> None:
    """Imports all modules that the command may need, without a JAX backend and without a second thread.

    Figures take half of a small run's time, are drawn again by every command that needs them, and are not verified:
    runs have none unless `figures` is True. Boosted trees have two stages.
    """
    import vae_jax.cli

    for module in pkgutil.walk_packages(vae_jax.__path__, "vae_jax."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)
    import jax
    from jax._src import xla_bridge

    cache.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _make_cheap(figures)
    if xla_bridge.backends_are_initialized() or len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("importing vae_jax must start no thread and no JAX backend, or a fork is not safe")


def _make_cheap(figures: bool) -> None:
    from matplotlib.figure import Figure
    from sklearn.ensemble import GradientBoostingClassifier

    fit = GradientBoostingClassifier.fit

    def fit_two_stages(self: Any, *arguments: Any, **named: Any) -> Any:
        self.n_estimators = 2
        return fit(self, *arguments, **named)

    GradientBoostingClassifier.fit = fit_two_stages
    if figures:
        return

    def save_blank(self: Any, file: Any, **named: Any) -> None:
        if hasattr(file, "write"):
            file.write(_BLANK)
        else:
            Path(file).write_bytes(_BLANK)

    Figure.savefig = save_blank  # type: ignore[assignment]  # drawing is not tested here
    for name, module in list(sys.modules.items()):
        for figure in _FIGURES if name.startswith("vae_jax.") and module else ():
            if hasattr(module, figure):
                setattr(module, figure, lambda *arguments, **named: [])


def run(
    arguments: list[str],
    log: Path,
    inside: Callable[[], None] | None = None,
    watch: Callable[[int], bool] | None = None,
    timeout: float = 600.0,
) -> Outcome:
    """Runs `vae-jax` with arguments in a forked process.

    Args:
      arguments: arguments after `vae-jax`.
      log: path for stdout and stderr, with the suffixes .out and .err.
      inside: function to call in the new process, before the command.
      watch: function to call in this process every 0.2 ms with the new process's id, until it returns True.
      timeout: seconds after which the process is killed.
    """

    def command() -> int:
        if inside is not None:
            inside()
        import vae_jax.cli

        sys.argv = ["vae-jax", *arguments]
        command: Callable[[], Any] = vae_jax.cli.main
        code = command()
        return code if isinstance(code, int) else 0

    return call(command, log, watch, timeout)


def call(
    function: Callable[[], Any], log: Path, watch: Callable[[int], bool] | None = None, timeout: float = 600.0
) -> Outcome:
    """Calls a function in a forked process; an exception ends the process as it ends the interpreter."""
    out, err = log.with_suffix(".out"), log.with_suffix(".err")
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns about forks; this process has one thread
        pid = os.fork()
    if pid == 0:
        _become(out, err)
        end(function)
    code, cpu, watching = None, 0.0, watch is not None
    while (seconds := time.monotonic() - started) < timeout:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            code, cpu = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
            break
        if watching and watch is not None:
            watching = not watch(pid)
        time.sleep(0.0002 if watching else 0.005)
    with contextlib.suppress(ProcessLookupError):  # its children, which are in its process group
        os.killpg(pid, signal.SIGKILL)
    if code is None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return Outcome(code, round(seconds, 2), _text(out), _text(err), round(cpu, 2))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process until now, which measures its progress on a machine with other work."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _become(out: Path, err: Path) -> None:
    os.setsid()
    for path, number, flags in (
        (Path(os.devnull), 0, os.O_RDONLY),
        (out, 1, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (err, 2, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        descriptor = os.open(path, flags, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end(function: Callable[[], Any]) -> None:
    """Calls a function and ends the process as the interpreter does, where flushing stdout may fail."""
    code = 1
    try:
        code = function() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # as at an ordinary exit, before the exit callbacks
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        print("Exception ignored while the process ended", file=sys.stderr)
        traceback.print_exc()
        code = 120
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code & 0xFF)
