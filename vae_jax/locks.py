"""Locks between processes, by a file."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)  # some network file systems


def exclusive_lock(path: Path, place: str) -> FileLock | None:
    """Takes the lock of a folder until it is released, or until this process ends.

    Args:
      path: the file of the lock.
      place: the folder, for messages.

    Returns:
      The lock; None, after a warning, if the file system has no locks.

    Raises:
      ValueError: another process has the lock.
      OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{place}: another process is working in this folder; wait for it, or end it") from None
    except (NotImplementedError, OSError) as error:  # the first is filelock's, on systems without flock
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"{place}: this file system has no locks, so nothing keeps a second process from writing there: start none",
            stacklevel=3,
        )
        return None
    return lock
