"""Record of a complete run of experiments.faults."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def claims_of(lines: Sequence[dict[str, Any]]) -> list[Any]:
    """Claims of the record: for each kind, the number of cases that kept the promise and of those that broke it.

    A kill that came after the end of the run is not counted.
    """
    from experiments.lib.records import Claim

    empty = ("does not apply", "ended before it")
    cases_of = lambda *kinds: [line for line in lines if line["kind"] in kinds and line["verdict"] not in empty]
    count = lambda cases, verdict: [float(sum(line["verdict"] == verdict for line in cases))]
    claims = []
    for title, kinds in (
        ("kills, each followed by --resume", ("kill",)),
        ("stops by SIGTERM and Ctrl-C", ("stop",)),
        ("damaged files, each followed by a command", ("damage",)),
        ("full disks, read-only and removed folders, closed pipes", ("input and output",)),
        ("bad inputs of the command", ("bad command",)),
        ("bad inputs of the library", ("bad call",)),
        ("kills and damages drawn at random", ("random kill", "random damage")),
    ):
        cases = cases_of(*kinds)
        broken = float(sum(not line["ok"] for line in cases))
        claims.append(Claim(f"{title}: promise kept", "", [len(cases) - broken]))
        claims.append(Claim(f"{title}: promise broken", "", [broken], at_most=0))
    damaged = cases_of("damage", "random damage")
    claims += [
        Claim("damages: tracebacks", "", count(damaged, "TRACEBACK"), at_most=0),
        Claim("damages: different numbers without a message", "", count(damaged, "SILENT"), at_most=0),
        Claim("damages: one line of error", "", count(damaged, "one line of error")),
        Claim("damages: last good state used, with a message", "", count(damaged, "last good state, said so")),
        Claim("damages: same output", "", count(damaged, "same output")),
    ]
    return claims


def write_reliability(path: Path, lines: Sequence[dict[str, Any]], summary: dict[str, Any], jobs: int) -> None:
    """Writes the record of a complete run, in which `jobs` cases ran at a time."""
    from experiments.lib.records import Record, write_record
    from vae_jax.runs import device_name, versions

    command = shlex.join(["python", "-m", "experiments.faults", *sys.argv[1:]])
    protocol = (
        "small runs of vae, vq_vae and disentangle, each in its own process; after every kill the same command with "
        "--resume must give the same bits as an uninterrupted run: arrays, rows, summary, scores; files are cut, "
        "zeroed, emptied, deleted, or have one bit flipped; figures are not compared."
    )
    seconds = [sum(line["seconds"] for line in lines) / jobs]
    details = {name: summary[name] for name in ("verdicts", "seed")}
    record = Record(
        "Reliability of run folders",
        protocol,
        command,
        claims_of(lines),
        [],
        seconds,
        device_name(),
        versions(),
        details,
    )
    write_record(path, record)
