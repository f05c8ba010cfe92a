"""Messages and exit codes of commands that end early. Nothing here imports JAX."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn, TextIO

from vae_jax.checksums import Damaged
from vae_jax.runs.fitting.signals import Interrupted
from vae_jax.text import printable


def end(text: str, code: int) -> NoReturn:
    """Ends the process with a line on stderr, its unprintable characters escaped, and an exit code."""
    print(f"error: {printable(text)}", file=sys.stderr)
    sys.exit(code)


@contextlib.contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Turns a ValueError or TypeError into one line on stderr and exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        end(str(error), 2)


@contextlib.contextmanager
def exit_in_a_line(advice: str = "") -> Iterator[None]:
    """Turns signals, damaged files and failing disks into a line on stderr and an exit code.

    130 for Ctrl-C and 143 for SIGTERM; 2 for a file of a run that is not what was written; 1, after a line, for a disk
    that is full or a folder that is gone, and 1 without a message for a pipe whose reader is gone.

    Args:
      advice: advice on how to go on, for the line.
    """
    behind = f"; {advice}" if advice else ""
    # If a process is started with a closed stdout or stderr, Python sets that stream to None.
    sys.stdout, sys.stderr = sys.stdout or _discarded(), sys.stderr or _discarded()
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        print(("terminated" if number == signal.SIGTERM else "interrupted") + behind, file=sys.stderr)
        sys.exit(128 + number)
    except BrokenPipeError:
        # Python flushes stdout when it exits, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Damaged as error:
        end(str(error), 2)
    except OSError as error:
        _silence_threads()
        place = f"{error.filename}: " if error.filename else ""
        end(f"{place}{error.strerror or error}{behind}", 1)


def _discarded() -> TextIO:
    """A stream that discards its text."""
    return open(os.devnull, "w")  # it stays open until the process ends, as the one it stands for


def _silence_threads() -> None:
    """Keeps the threads of a failed save from printing tracebacks after the last line of a process that is ending."""
    sys.unraisablehook, threading.excepthook = lambda error: None, lambda error: None
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
