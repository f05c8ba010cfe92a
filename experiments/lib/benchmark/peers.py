"""Other libraries as contestants: scripts of `experiments/peers`, run by an interpreter that has these libraries.

The protocol is lines of text. The script gets the path of a .npz file with the problem, and prints its contestants and
versions on its first line: `{"contestants": [...], "versions": {...}, "instructions": "AVX512"}`. For each contestant's
name on stdin it runs one round and prints `SECONDS LOSS`, the loss in nats. It imports nothing of vae_jax.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from experiments.lib.benchmark.measure import Contestant, Sample
from experiments.lib.benchmark.work import Arrays


class Peers(NamedTuple):
    """Contestants of one interpreter, ready to run."""

    contestants: dict[str, Contestant]
    versions: dict[str, str]


def importable(python: str, packages: Sequence[str]) -> list[str]:
    """Returns the packages that an interpreter can import.

    Raises:
      ValueError: if `python` is not a Python interpreter, or has none of the packages.
    """
    code = (
        "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n)]))"
    )
    found: Any = None
    if shutil.which(python):
        with contextlib.suppress(ValueError, OSError):
            found = json.loads(
                subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=False).stdout
            )
    if not isinstance(found, list):
        raise ValueError(f"--peer-python must be a Python interpreter, got {python}")
    if not found:
        raise ValueError(f"--peer-python must have one or more of {', '.join(packages)}, but {python} has none")
    return found


@contextlib.contextmanager
def peers_of(python: str, scripts: Sequence[Path], name: str, problem: Arrays) -> Iterator[Peers]:
    """Yields the contestants of the scripts for one workload; their processes end with the block.

    Raises:
      RuntimeError: if a script stops, at its start or in a round; the message has the end of its stderr.
    """
    peers = Peers({}, {})
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".npz"))
        np.savez(file, allow_pickle=False, work=np.asarray(name), **problem)
        file.flush()
        for script in scripts:
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            command = [python, str(script), file.name]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, bufsize=1)
            stack.callback(_end, process)
            about = json.loads(_line(process, script, log))
            peers.versions.update(about["versions"])
            for contestant in about["contestants"]:
                peers.contestants[contestant] = partial(_ask, process, script, log, contestant)
        yield peers


def _ask(process: subprocess.Popen[str], script: Path, log: IO[str], contestant: str) -> Sample:
    with contextlib.suppress(BrokenPipeError):  # the script has stopped: _line raises
        print(contestant, file=cast(IO[str], process.stdin), flush=True)
    seconds, loss = _line(process, script, log).split()
    return Sample(float(seconds), float(loss))


def _line(process: subprocess.Popen[str], script: Path, log: IO[str]) -> str:
    line = cast(IO[str], process.stdout).readline()
    if not line:
        process.wait()
        log.seek(0)
        raise RuntimeError(f"the peer {script.name} stopped with exit code {process.returncode}: {log.read()[-2000:]}")
    return line


def _end(process: subprocess.Popen[str]) -> None:
    """Closes a peer's stdin, which ends it, and kills it if it hangs."""
    with contextlib.suppress(BrokenPipeError):
        cast(IO[str], process.stdin).close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    cast(IO[str], process.stdout).close()
