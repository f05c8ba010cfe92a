"""How what ends a command early is said on stderr, and with which exit code. It takes no JAX."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Turns a ValueError or TypeError into one line on stderr and exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def exit_where_interrupted() -> Iterator[None]:
    """Turns Ctrl-C into a line on stderr and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
