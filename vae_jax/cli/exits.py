"""Messages and exit codes of commands that end early. Nothing here imports JAX."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn, TextIO

from vae_jax.checksums import Damaged
from vae_jax.runs.fitting.signals import Interrupted
from vae_jax.text import printable


def end(text: str, code: int) -> NoReturn:
    """Ends the process with an exit code, after a line on stderr in which unprintable characters are escaped."""
    print(f"error: {printable(text)}", file=sys.stderr)
    sys.exit(code)


# Messages of tyro (as patterns), and their replacements in the style of all other errors.
_PARSER_MESSAGES = {
    r"Error parsing (\S+): invalid literal for int\(\) .*?: '(.*)'": r"\1 must be a whole number, got \2",
    r"Error parsing (\S+): could not convert string to float: '(.*)'": r"\1 must be a number, got \2",
    r"Error parsing (\S+): no type matching .*? could be instantiated from \[(.*?)\].*": r"\1 cannot be \2",
    r"Error parsing (\S+): ": r"\1: ",
    r"[Ii]nvalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\) ?\.": r"\2 must be one of \3, got \1",
    r"Missing value for argument '(.*?)'\..*": r"\1 needs a value",
    r"Unrecognized options: (.*)": r"unknown argument: \1",
    r"Expected one of \{(.*)\}\.": r"give one of the commands \1",
    r"Missing from .*?: (\S+) (.*?) \(required\).*": r"\1 is missing: \2",
}


@contextlib.contextmanager
def exit_on_parser_error() -> Iterator[None]:
    """Turns the box in which tyro prints that it cannot parse a command line into one line on stderr."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except SystemExit as error:
        if error.code:
            end(_parser_error(printed.getvalue()), 2)
        raise
    print(printed.getvalue(), end="", file=sys.stderr)


def _parser_error(box: str) -> str:
    """One line for the box of an error: its first section, suggestions, and the command that prints the help."""
    lines = [line[2:].rstrip(" \u2502") for line in box.splitlines()[1:-1]]  # the first line is a title
    parts = re.split(r"(?:^|\n)\s*[\u2500-]{6,}(?:\n|$)", "\n".join(lines))
    sections = [part.split("\n") for part in parts if part.strip()] or [[box]]
    message = " ".join(" ".join(sections[0]).split())
    for pattern, text in _PARSER_MESSAGES.items():
        message = re.sub(f"^{pattern}", text, message)
    message = message.replace("'", "")
    for first, *others in sections[1:]:
        if first.startswith("Available"):
            message += f"; the commands are {' '.join([first.partition(': ')[2], *others])}"
        elif first.startswith("Perhaps"):
            flags = dict.fromkeys(re.findall(r"^ {4}(--[\w-]+)", "\n".join(others), re.MULTILINE))
            message += f"; did you mean {' or '.join(flags)}?"
    command = re.search(r"(?:see|run:?) (.* --help)$", " ".join(" ".join(sections[-1]).split()))
    return f"{message} ({command[1]})" if command else message


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

    The code is 130 for Ctrl-C and 143 for SIGTERM; 2 for a damaged file of a run; 1 for a full disk or a missing
    folder; and 1 without a message for a pipe whose reader has closed it.

    Args:
      advice: advice on how to continue, added to the line.
    """
    ending = f"; {advice}" if advice else ""
    # If a process is started with a closed stdout or stderr, Python sets that stream to None.
    sys.stdout, sys.stderr = sys.stdout or _discarded(), sys.stderr or _discarded()
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        print(("terminated" if number == signal.SIGTERM else "interrupted") + ending, file=sys.stderr)
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
        end(f"{place}{error.strerror or error}{ending}", 1)


def _discarded() -> TextIO:
    """A stream that discards its text."""
    return open(os.devnull, "w")  # stays open until the process ends, like the stream that it replaces


def _silence_threads() -> None:
    """Keeps the threads of a failed save from printing tracebacks after the last line of an ending process."""
    sys.unraisablehook, threading.excepthook = lambda error: None, lambda error: None
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
