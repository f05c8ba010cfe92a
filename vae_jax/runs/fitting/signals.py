"""Handling of Ctrl-C and SIGTERM during training, which finishes and saves the epoch first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Exception for Ctrl-C or SIGTERM, raised once all finished work is saved."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number  # of the signal


class Stopping:
    """Record of the signals that arrive during training.

    Before `begin` a signal ends the process at once, because there is nothing to save. After `begin` the first signal
    is recorded for `asked`, and a second signal ends the process at once.
    """

    def __init__(self, say: Callable[[str], Any]):
        self._say = say
        self._at_work = False
        self._number: int | None = None

    def begin(self) -> None:
        """Marks the time from which there is something to save."""
        self._at_work = True

    def asked(self) -> bool:
        """Returns whether a signal has asked the training to end."""
        return self._number is not None

    def end(self, asked: bool = False) -> None:
        """Raises Interrupted if this process was asked to end; the training is saved by then.

        Args:
          asked: whether another process of the run was asked to end.
        """
        self._at_work = False
        if asked or self._number is not None:
            raise Interrupted(self._number or signal.SIGTERM)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if not self._at_work or self.asked():
            raise Interrupted(number)
        self._number = number
        # Printing must not end the training if stderr is a pipe whose reader got the same signal (Rich then raises
        # SystemExit), or if stderr is being written to just now.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            self._say("stopping after this epoch, which is saved first; a second signal stops at once")


@contextlib.contextmanager
def stopping(say: Callable[[str], Any]) -> Iterator[Stopping]:
    """Passes signals to a `Stopping` inside the context."""
    received = Stopping(say)
    with _handled(received.receive):
        yield received


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Lets SIGTERM raise Interrupted, like Ctrl-C, inside the context, so that open files are closed first."""

    def receive(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled(receive):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
        yield
        return
    # Signals that the parent process has set to be ignored (as a shell does for background jobs) stay ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
