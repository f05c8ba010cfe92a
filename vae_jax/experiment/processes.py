"""The processes of one run of a command: they are given the same settings, and end together."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from vae_jax.training.distributed import from_all


def check_same(config: Mapping[str, Any]) -> None:
    """Raises ValueError if the processes of a run were started with different settings. All must call it.

    Args:
      config: JSON-like.

    Raises:
      ValueError: in every process, naming the fields that differ and their values.
    """
    configs = from_all(json.loads(json.dumps(dict(config), default=str)))
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
    # What the collectives of CPUs and GPUs, and the runtime itself, raise if another process does not answer.
    if any(word in str(error) for word in ("Gloo", "NCCL", "RCCL", "coordination service", "UNAVAILABLE")):
        process = f"process {jax.process_index()} of {jax.process_count()}"
        words = f"another process of the run has ended, and {process} ends with it"
    else:
        traceback.print_exception(error)
        words = "this process of the run has failed"
    print(f"error: {words}{advice and '; '}{advice} ({text})", file=sys.stderr)
