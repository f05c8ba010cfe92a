"""Lock files that exclude other processes from a folder."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)  # some network file systems


def exclusive_lock(path: Path, place: str) -> FileLock | None:
    """Acquires the lock of a folder until it is released or this process ends.

    Args:
      path: Path of the lock file.
      place: Name of the folder, for messages.

    Returns:
      The lock, or None, after a warning, if the file system has no locks.

    Raises:
      ValueError: If another process holds the lock.
      OSError: If the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{place}: another process is working in this folder; wait for it, or end it") from None
    except (NotImplementedError, OSError) as error:  # filelock raises the first on systems without flock
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"{place}: this file system has no locks; start no second process that writes to this folder",
            stacklevel=3,
        )
        return None
    return lock
