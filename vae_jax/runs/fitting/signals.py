"""Handling of Ctrl-C and SIGTERM during training: the epoch is finished and saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Raised for Ctrl-C or SIGTERM once all finished work is saved."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number  # of the signal


class Stopping:
    """Record of the signals that arrive during training.

    Before `begin` a signal ends the process at once, for there is nothing to save. After it the first is
    recorded for `asked`, and a second ends the process at once.
    """

    def __init__(self, say: Callable[[str], Any]):
        self._say = say
        self._at_work = False
        self._number: int | None = None

    def begin(self) -> None:
        """Marks that from now on there is something to save."""
        self._at_work = True

    def asked(self) -> bool:
        """Returns whether the training is to end."""
        return self._number is not None

    def end(self, asked: bool = False) -> None:
        """Raises Interrupted if the training was to end, and is saved.

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
        # It must not end what is at work here, if stderr is a pipe whose reader has had the same signal (of which Rich
        # makes SystemExit), or is just being written to.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            self._say("stopping after this epoch, to save it; a second signal stops at once")


@contextlib.contextmanager
def stopping(say: Callable[[str], Any]) -> Iterator[Stopping]:
    """Hands signals to a `Stopping`, until the context is left."""
    received = Stopping(say)
    with _handled(received.receive):
        yield received


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Lets SIGTERM raise Interrupted as Ctrl-C does, until the context is left: what is open is closed first."""

    def receive(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled(receive):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    # Signals that the parent lets this process ignore (a shell does so in the background) stay ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
