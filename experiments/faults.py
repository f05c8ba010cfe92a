"""Injection of faults into small runs: kills, damaged files, failing machines, bad inputs.

    python -m experiments.faults --runs runs/faults
    python -m experiments.faults --quick

Runs of three recipes on 8 x 8 images are killed and continued, and must end in the bits of an uninterrupted run. Every
file of their folders is damaged in five ways, and each command that reads it must report that, use the last good state
or give the same output. Disks are full, folders read-only, pipes closed. Some cases are drawn at random in every run.
Another start with the same --runs does the remaining cases. About two hours on two cores; --quick takes two minutes,
for vae alone and without a record. The exit code is 1 if anything differs from the promises of docs/reliability.md;
each such case is a line on stderr.
"""

import dataclasses
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.lib.faults import forked
from experiments.lib.faults.bad_inputs import bad_input_cases, digits_run
from experiments.lib.faults.damages import damage_cases, random_damages
from experiments.lib.faults.fault_cases import Case, counted, failure, run_cases
from experiments.lib.faults.input_output import input_output_cases
from experiments.lib.faults.kills import kill_cases, random_kills
from experiments.lib.faults.reliability import write_reliability
from experiments.lib.faults.small_runs import RECIPES, Bench

Part = Literal["kills", "damages", "machine", "inputs", "random"]
PARTS: tuple[Part, ...] = ("kills", "damages", "machine", "inputs", "random")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    quick: bool = False
    """run ten kills and sixteen damaged files of the fastest recipe, vae, and the bad inputs"""
    parts: tuple[Part, ...] = PARTS
    """parts to run; the record needs all"""
    recipes: tuple[Literal["vae", "vq_vae", "disentangle"], ...] = ("vae", "vq_vae", "disentangle")
    """recipes to run; the record needs all"""
    random: int = 60
    """number of random kills, and of random damages"""
    seed: int | None = None
    """random seed of the random cases; default: from the clock, stored in --runs"""
    jobs: int = 2
    """number of cases to run at a time"""
    runs: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """working folder, from which a later start continues; default: a temporary folder"""
    cache: Path | None = None
    """folder of compiled programs, for a faster start; default: in --runs"""
    record: Path = Path("docs/results/reliability.json")
    """path of the JSON record to write"""


def cases_of(options: Options, bench: Bench, seed: int) -> Iterator[Case]:
    """All cases selected by the options."""
    references = bench.references
    events = {name: reference.events for name, reference in references.items()}
    sights = {name: sum(1 for _ in reference.finished.rglob("*")) for name, reference in references.items()}
    quick, recipes = options.quick, list(bench.references)
    if "kills" in options.parts:
        all_cases = {"events": 36, "sights": 9, "times": 9, "chains": 6, "stops": 24}
        quick_cases = {"events": 5, "sights": 1, "times": 1, "chains": 1, "stops": 2}
        yield from kill_cases(events, sights, quick_cases if quick else all_cases, seed=0)
    if "damages" in options.parts:
        yield from damage_cases(bench, recipes, seed=0, quick=16 if quick else 0)
    if "machine" in options.parts:
        yield from input_output_cases(bench, recipes, 1 if quick else 6, seed=0)
    if "inputs" in options.parts:
        digits_run(bench)
        yield from bad_input_cases(bench)
    if "random" in options.parts and not options.quick:
        yield from random_kills(options.recipes, options.random, seed)
        yield from random_damages(bench, options.recipes, options.random, seed)


def main(options: Options) -> int:
    from vae_jax.cli.exits import exit_on_bad_input

    started = time.monotonic()
    root = (options.runs or Path(tempfile.mkdtemp(prefix="faults-"))).resolve()
    forked.preload((options.cache or root / "compiled").resolve())
    bench, log = Bench(root), root / "cases.jsonl"
    bench.prepare(["vae"] if options.quick else list(options.recipes))
    stored_seed = root / "seed"
    if not stored_seed.exists():
        stored_seed.write_text(str(time.time_ns() % 2**32))
    seed = int(stored_seed.read_text()) if options.seed is None else options.seed
    with exit_on_bad_input():
        cases = list(cases_of(options, bench, seed))
    lines = run_cases(cases, bench, log, options.jobs)
    failures = [line for line in lines if not line["ok"]]
    for line in failures:
        print(failure(line), file=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = {
        "cases": len(lines),
        "failed": len(failures),
        "verdicts": counted(lines),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
    }
    if not options.quick and set(options.parts) == set(PARTS) and set(options.recipes) == set(RECIPES):
        write_reliability(options.record, lines, summary, options.jobs)
    print(json.dumps(summary))
    if options.runs is None and not failures:
        shutil.rmtree(root)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__, prog="python -m experiments.faults")))
