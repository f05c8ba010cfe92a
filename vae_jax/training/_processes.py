"""What the processes of one run do together: agree on settings, let the first write, and end with one another.

Everything here is right in a run of a single process too, where there is nothing to agree on.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def is_writer() -> bool:
    """Whether this is the process that writes the run's files and speaks to the user: the first, or the only one."""
    return jax.process_index() == 0


def from_writer(value: Any) -> Any:
    """The value that the writer gives, in every process. All must call it, as often, in the same order.

    Args:
      value: JSON-like; of the others' it is not even looked at.
    """
    return json.loads(_gather(json.dumps(value) if is_writer() else "null")[0])


def from_all(value: Any) -> list[Any]:
    """The JSON-like values that all processes give, in every process. All must call it, as `from_writer`."""
    return [json.loads(text) for text in _gather(json.dumps(value))]


def check_same(config: Mapping[str, Any]) -> None:
    """Stops where the processes of a run were started with different settings. All must call it.

    Args:
      config: JSON-like.

    Raises:
      ValueError: in every process, naming the fields that differ and their values.
    """
    configs = [json.loads(text) for text in _gather(json.dumps(dict(config), default=str))]
    for process, other in enumerate(configs):
        names = sorted(n for n in configs[0].keys() | other.keys() if configs[0].get(n) != other.get(n))
        if names:
            differences = ", ".join(
                f"{n} (process 0: {configs[0].get(n)!r}, process {process}: {other.get(n)!r})" for n in names
            )
            raise ValueError(f"all processes of a run must be given the same settings, but these differ: {differences}")


@contextlib.contextmanager
def ending_together(advice: str = "") -> Iterator[None]:
    """Around all that one of several processes does: when it fails it ends at once, and so do the others.

    By itself a process that fails would wait for the others at its exit, and they for it in their next sum. Where
    another has ended, the line on stderr says so; any other error leaves its traceback. The exit code is 1, or what
    SystemExit and KeyboardInterrupt mean. A process that has joined no others is left alone.

    Args:
      advice: what the user can do then, for the line.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized() or (isinstance(error, SystemExit) and not error.code):
            raise
        code: Any = 1
        if isinstance(error, SystemExit):
            code = error.code
        elif isinstance(error, KeyboardInterrupt):
            code = 130
        else:
            _explain(error, advice)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _explain(error: BaseException, advice: str) -> None:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    # What the collectives of CPUs and GPUs, and the runtime itself, raise where another process does not answer.
    if any(word in str(error) for word in ("Gloo", "NCCL", "RCCL", "coordination service", "UNAVAILABLE")):
        process = f"process {jax.process_index()} of {jax.process_count()}"
        words = f"another process of the run has ended, and {process} ends with it"
    else:
        traceback.print_exception(error)
        words = "this process of the run has failed"
    print(f"error: {words}{advice and '; '}{advice} ({text})", file=sys.stderr)


def _gather(text: str) -> list[str]:
    """The text of every process."""
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(own.size))
    everyones = multihost_utils.process_allgather(np.pad(own, (0, int(sizes.max()) - own.size)))
    return [row[:size].tobytes().decode() for row, size in zip(everyones, sizes, strict=True)]
