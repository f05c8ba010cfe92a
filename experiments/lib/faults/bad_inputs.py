"""Bad inputs of the command and of the library, which must end in clear errors of this library."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from experiments.lib.faults import forked
from experiments.lib.faults.fault_cases import Case, Result
from experiments.lib.faults.folder_state import hashes
from experiments.lib.faults.small_runs import Bench

_AT_ONCE = 20  # calls of the library that share a process
_DIGITS = "train vae --epochs 1 --hidden 2 --latent-dim 2 --elbo-samples 1 --nll-samples 0 --batch-size 3600"


def table(module: str, name: str) -> list[Any]:
    """Rows of a table in experiments/lib/faults.

    Raises:
      ValueError: if there is no such table.
    """
    try:
        return list(getattr(importlib.import_module(f"experiments.lib.faults.{module}"), name))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"experiments/lib/faults/{module}.py must hold the table {name}: {error}") from error


def digits_run(bench: Bench) -> Path:
    """Folder of a finished run on the embedded digits, which the bad commands read; trains it if needed."""
    folder = bench.root / "references" / "digits"
    if not (folder / "summary.json").exists():
        outcome = forked.run([*_DIGITS.split(), "--run-dir", str(folder)], bench.log(), timeout=600)
        if outcome.code:
            raise RuntimeError(f"a run of the digits must end well: {outcome.code} {outcome.err}")
    return folder


def _command(number: int, bench: Bench) -> list[Result]:
    bad = table("bad_commands", "BAD_COMMANDS")[number]
    run, new = digits_run(bench), bench.fresh()
    before = hashes(run)
    outcome = forked.run(bad.arguments(run, new), bench.log(), timeout=60)
    own = outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    # The parser draws a box around its errors.
    parsers = "Traceback" not in outcome.err and ("------" in outcome.err or "──────" in outcome.err)
    wrong = [] if outcome.code == 2 else [f"exit {outcome.code}"]
    wrong += [] if own or parsers else ["not one line of error"]
    wrong += [] if bad.expected in " ".join(outcome.err.split()) else [f"it does not say {bad.expected!r}"]
    wrong += ["it printed on stdout"] if outcome.out else []
    wrong += ["something was left behind"] if list(new.parent.glob(f"{new.name}*")) or hashes(run) != before else []
    details = {"command": bad.command, "wrong": wrong, "said": outcome.last_line}
    return [Result("UNCLEAR", False, details) if wrong else Result("clear error", True, details)]


def _calls(numbers: range, bench: Bench) -> list[Result]:
    """Runs several calls of the library in one process, and starts another process after a call that ends it."""
    results: list[Result] = []
    while len(results) < len(numbers):
        outcome = forked.call(partial(_make_calls, numbers[len(results) :]), bench.log(), timeout=300)
        lines = [json.loads(line) for line in outcome.out.splitlines() if line.startswith("{")]
        results += [Result(line["verdict"], line["verdict"].islower(), line) for line in lines]
        if len(results) < len(numbers):
            details = {"call": numbers[len(results)], "exit": outcome.code, "said": outcome.last_line}
            results.append(Result("ENDED THE PROCESS", False, details))
    return results


def _make_calls(numbers: range) -> None:
    rows = table("bad_calls", "BAD_CALLS")
    wrong_with = importlib.import_module("experiments.lib.faults.bad_calls").verdict
    for number in numbers:
        wrong = wrong_with(rows[number])
        line = {"call": rows[number].name, "verdict": "UNCLEAR" if wrong else "clear error", "wrong": wrong}
        print(json.dumps(line), flush=True)


def bad_input_cases(bench: Bench) -> Iterator[Case]:
    """Yields a case for each bad command, and a case for each group of bad calls that share a process."""
    for number, bad in enumerate(table("bad_commands", "BAD_COMMANDS")):
        yield Case("bad command", f"command/{number}: {bad.command[-60:]}", partial(_command, number))
    # Counted in another process: the table has arrays, which start a JAX backend.
    counted = forked.call(lambda: print(len(table("bad_calls", "BAD_CALLS"))), bench.log())
    if counted.code:
        raise ValueError(counted.last_line)
    count = int(counted.out)
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        yield Case("bad call", f"calls/{start} to {numbers[-1]}", partial(_calls, numbers))
