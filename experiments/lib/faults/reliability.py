"""The record of a whole run of experiments.faults."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def claims_of(lines: Sequence[dict[str, Any]]) -> list[Any]:
    """Claims of the record: for each kind, how many cases were as promised, and how many were not.

    A kill that came after the run had ended says nothing, and is not counted.
    """
    from experiments.lib.records import Claim

    empty = ("does not apply", "ended before it")
    of = lambda *kinds: [line for line in lines if line["kind"] in kinds and line["verdict"] not in empty]
    count = lambda of_kind, *verdicts: [float(sum(line["verdict"] in verdicts for line in of_kind))]
    claims = []
    for title, kinds in (
        ("kills, each followed by --resume", ("kill",)),
        ("stops by SIGTERM and Ctrl-C", ("stop",)),
        ("damaged files, each followed by a command", ("damage",)),
        ("full disks, read-only and removed folders, closed pipes", ("input and output",)),
        ("bad inputs of the command", ("bad command",)),
        ("bad inputs of the library", ("bad call",)),
        ("kills and damages drawn anew", ("random kill", "random damage")),
    ):
        these = of(*kinds)
        wrong = float(sum(not line["ok"] for line in these))
        claims.append(Claim(f"{title}: as promised", "", [len(these) - wrong]))
        claims.append(Claim(f"{title}: not as promised", "", [wrong], at_most=0))
    damaged = of("damage", "random damage")
    claims += [
        Claim("damages: tracebacks", "", count(damaged, "TRACEBACK"), at_most=0),
        Claim("damages: silently other numbers", "", count(damaged, "SILENT"), at_most=0),
        *(Claim(f"damages: {v}", "", count(damaged, v)) for v in ("one line of error", "last good state, said so")),
        Claim("damages: same output", "", count(damaged, "same output")),
    ]
    return claims


def write_reliability(path: Path, lines: Sequence[dict[str, Any]], summary: dict[str, Any], jobs: int) -> None:
    """Writes the record of a whole run, of which `jobs` cases ran at a time."""
    from experiments.lib.records import Record, write_record
    from vae_jax.runs import device_name, versions

    command = shlex.join(["python", "-m", "experiments.faults", *sys.argv[1:]])
    protocol = (
        "small runs of vae, vq_vae and disentangle, a process each; every kill is followed by the same command with "
        "--resume and compared bit for bit with an uninterrupted run: arrays, rows, summary, scores; files are cut, "
        "zeroed, emptied, deleted, and have one bit flipped; figures are left out."
    )
    spent = [sum(line["seconds"] for line in lines) / jobs]
    details = {name: summary[name] for name in ("verdicts", "seed")}
    record = Record(
        "Reliability of run folders", protocol, command, claims_of(lines), [], spent, device_name(), versions(), details
    )
    write_record(path, record)
