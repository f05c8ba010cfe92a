"""Cases of fault injection, each run once by one of several workers; a file of JSON lines holds the finished cases."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.lib.faults.small_runs import Bench


class Result(NamedTuple):
    """Outcome of a case."""

    verdict: str
    ok: bool  # True if the promises were kept
    details: dict[str, Any]  # for the reader of a broken promise


class Case(NamedTuple):
    """One fault."""

    kind: str
    id: str  # describes the fault completely
    run: Callable[[Bench], Sequence[Result]]


def run_cases(cases: Sequence[Case], bench: Bench, log: Path, jobs: int) -> list[dict[str, Any]]:
    """Runs the cases that the log does not have yet, `jobs` at a time, and returns the log's lines of all cases.

    Each worker is a process with one thread that reads the number of its next case from a pipe and forks.
    """
    wanted = {case.id for case in cases}
    done = {line["id"] for line in read_lines(log)}
    left = [number for number, case in enumerate(cases) if case.id not in done]
    print(f"{len(cases)} cases, {len(cases) - len(left)} of them already done", file=sys.stderr, flush=True)
    if left:
        take, give = os.pipe()
        workers = []
        for worker in range(min(jobs, len(left))):
            pid = os.fork()
            if pid == 0:
                os.close(give)
                _work(cases, _own_bench(bench, worker), log, take, len(left))
            workers.append(pid)
        os.close(take)
        try:
            for number in left:
                os.write(give, number.to_bytes(4, "little"))
        except BrokenPipeError:
            pass
        os.close(give)
        for pid in workers:
            os.waitpid(pid, 0)
    return [line for line in read_lines(log) if line["id"] in wanted]


def _own_bench(bench: Bench, worker: int) -> Bench:
    """Bench with a scratch folder of the worker's own."""
    own = Bench(bench.root)
    own.references, own.scratch = bench.references, bench.root / f"scratch-{worker}"
    return own


def _work(cases: Sequence[Case], bench: Bench, log: Path, take: int, left: int) -> None:
    try:
        while number := os.read(take, 4):
            case = cases[int.from_bytes(number, "little")]
            started = time.monotonic()
            try:
                results = case.run(bench)
            except Exception:
                results = [Result("BROKEN HARNESS", False, {"traceback": traceback.format_exc()})]
            seconds = round((time.monotonic() - started) / max(len(results), 1), 2)
            lines = [
                {"id": case.id, "kind": case.kind, **result._asdict(), "seconds": seconds} for result in results
            ] or [{"id": case.id, "kind": case.kind, "verdict": "does not apply", "ok": True, "details": {}}]
            with log.open("a") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
            ended = len({line["id"] for line in read_lines(log)})
            for line in lines:
                if not line["ok"]:
                    print(failure(line), file=sys.stderr)
            print(
                f"case {ended}: {case.id}: {', '.join(line['verdict'] for line in lines)}", file=sys.stderr, flush=True
            )
    finally:
        os._exit(0)


def failure(line: dict[str, Any]) -> str:
    """Message about a failed case."""
    about = "; ".join(f"{name} {value}" for name, value in line["details"].items() if value not in (None, "", []))
    return f"FAILED {line['id']}: {line['verdict']}: {about}"


def read_lines(log: Path) -> list[dict[str, Any]]:
    """Lines of the log, without a last line that was cut."""
    lines = []
    for text in log.read_text().splitlines() if log.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def counted(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts of each verdict, by kind of case."""
    kinds = dict.fromkeys(line["kind"] for line in lines)
    return {kind: dict(Counter(line["verdict"] for line in lines if line["kind"] == kind)) for kind in kinds}
