"""Numbered events at which a process changes the files of a folder, so that it can be stopped at any of them."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_AUDITED = {"os.rename": (0, 1), "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.link": (1,)}
_DESCRIPTORS = {"os.rename": 2, "os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2}
Act = Callable[[int, str, str], bool]  # (number, event, path) -> True to cut the current write in half


def at_events(folder: Path, act: Act) -> None:
    """Makes this process call `act` before every event below the folder, until it ends.

    Events are: open (a file for writing), opened (the file exists and is empty), write (from Python), fsync, rename,
    mkdir, remove, rmdir, link. Arrays that C++ code writes cause no events; they go to temporary folders, which are
    renamed.
    """
    root, numbers = os.path.abspath(folder), itertools.count(1)

    def place(path: Any, descriptor: int = -1) -> str | None:
        try:
            text = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fsdecode(path)
            if not os.path.isabs(text):
                base = os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 else os.getcwd()
                text = os.path.join(base, text)
        except (OSError, TypeError):
            return None
        return text if text == root or text.startswith(root + os.sep) else None

    def event(name: str, path: str | None) -> bool:
        return path is not None and act(next(numbers), name, os.path.relpath(path, root))

    def audit(name: str, arguments: tuple) -> None:
        if name == "open":
            path, mode, flags = arguments
            if not isinstance(path, int) and (flags & _WRITES if isinstance(flags, int) else mode):
                event("open", place(path))
        elif name in _AUDITED:
            at = _DESCRIPTORS[name]
            descriptor = arguments[at] if len(arguments) > at and isinstance(arguments[at], int) else -1
            places = [place(arguments[i], descriptor) for i in _AUDITED[name]]
            event(name.removeprefix("os."), next((path for path in reversed(places) if path), None))

    sys.addaudithook(audit)
    real_open, real_fsync, real_write = io.open, os.fsync, os.write

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        handle = real_open(file, mode, *arguments, **named)
        path = place(file) if set(mode) & set("wax+") else None
        if path is None:
            return handle
        event("opened", path)
        write = handle.write

        def written(content: Any) -> Any:
            if event("write", path):
                write(content[: len(content) // 2])
                handle.flush()
                _die(signal.SIGKILL)
            return write(content)

        handle.write = written  # type: ignore[method-assign]  # a write of this file can be cut in half
        return handle

    def synced(descriptor: int) -> None:
        event("fsync", place(descriptor))
        real_fsync(descriptor)

    def written_raw(descriptor: int, content: bytes) -> int:
        if descriptor > 2 and event("write", place(descriptor)):
            real_write(descriptor, content[: len(content) // 2])
            _die(signal.SIGKILL)
        return real_write(descriptor, content)

    io.open = builtins.open = opened
    os.fsync, os.write = synced, written_raw  # type: ignore[assignment]  # with narrower parameters


def _die(number: int) -> None:
    os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        time.sleep(60)  # SIGKILL does not return; it may take a moment if another thread sent it


def signal_at(target: int, number: int) -> Act:
    """Sends this process a signal at the event with number `target`; SIGKILL cuts a write in half."""

    def act(at: int, event: str, path: str) -> bool:
        if at == target:
            if number == signal.SIGKILL:  # numbers may differ between runs, because of threads
                os.write(2, f"killed at event {at}: {event} {path}\n".encode())
            if event == "write" and number == signal.SIGKILL:
                return True
            _die(number)
        return False

    return act


def full_from(target: int) -> Act:
    """Makes every write from the event with number `target` on fail for lack of space on the device."""

    def act(at: int, event: str, path: str) -> bool:
        if at >= target and event in ("open", "write", "fsync", "mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return False

    return act


def noted(log: Path) -> Act:
    """Logs every event as a line with its number, kind and path."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    write = os.write

    def act(at: int, event: str, path: str) -> bool:
        write(descriptor, f"{at}\t{event}\t{path}\n".encode())
        return False

    return act


def hurry() -> None:
    """Advances the clock by 1.5 s at every reading, so that a small run writes checkpoints every few epochs."""
    clock, readings = time.monotonic, itertools.count()
    time.monotonic = lambda: clock() + 1.5 * next(readings)
