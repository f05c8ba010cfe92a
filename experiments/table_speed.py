"""Cost of a table of 1,000,000 rows and 30 columns of all kinds: loading, memory, training.

    python -m experiments.table_speed

The table is drawn at random and written as CSV and Parquet. For each file a process of its own loads it, fits its
encoding to nine tenths of the rows, encodes them and trains an epoch. Its peak resident memory is compared with that
after its imports, and with that of a process that does the same on 1,000 rows, which the compiler needs; both in units
of an array of 1,000,000 x 30 float32 numbers (120 MB). Then the training step of `models.table_vae` takes turns with
that of a VAE of the same widths for an array of 30 numbers and a mask, both on rows in memory; medians over --rounds.
"""

import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro

from experiments.lib.records import Claim, Record, write_record
from experiments.lib.table_memory import BATCH_SIZE
from experiments.lib.table_steps import COLUMNS, HIDDEN, KINDS, LATENT_DIM, columns_of, contestants
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.data import table_of, write_table
from vae_jax.runs import device_name, versions


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    rows: int = 1_000_000
    """number of rows of the files"""
    rounds: int = 9
    """number of timings of each training step"""
    steps: int = 400
    """batches of 128 rows per timing"""
    record: Path = Path("docs/results/table_speed.json")
    """path of the JSON record to write"""


def in_own_processes(rows: int) -> dict[str, dict[str, dict[str, float]]]:
    """Stages of `experiments.lib.table_memory` for CSV and Parquet files of the table and of its first 1,000 rows."""
    stages = {}
    with tempfile.TemporaryDirectory() as scratch:
        table = table_of(columns_of(rows))
        for suffix in ("csv", "parquet"):
            for size, part in (("small", slice(1_000)), ("all", slice(None))):
                path = f"{scratch}/{size}.{suffix}"
                write_table(path, table.rows(part))
                command = [sys.executable, "-m", "experiments.lib.table_memory", path]
                found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                stages[f"{suffix}, {size}"] = json.loads(found)
                print(suffix, size, found, file=sys.stderr)
    return stages


def claims_of(rows: int, stages: dict[str, Any], median: dict[str, float]) -> list[Claim]:
    steps = "training step of table_vae relative to that of the MLP VAE on as many numbers"
    claims = [
        Claim(steps, "", [median["table"] / median["array"]], at_most=1),
        Claim("the same, if all columns are continuous", "", [median["continuous"] / median["array"]]),
    ]
    for suffix, name in (("csv", "CSV"), ("parquet", "Parquet")):
        table, small = stages[f"{suffix}, all"], stages[f"{suffix}, small"]
        arrays = lambda stage, other, table=table: (table[stage]["peak"] - other["peak"]) / (4 * COLUMNS * rows)
        above = f"{name}: peak memory in units of the float32 array"
        claims += [
            Claim(f"{above}, above the process's imports", "", [arrays("train", table["empty"])], at_most=4),
            Claim(f"{above}, above a process with 1,000 rows", "", [arrays("train", small["train"])], at_most=4),
            Claim(f"{above}, until the rows are encoded", "", [arrays("encode", table["empty"])]),
            Claim(f"{name}: time to load", "s", [table["load"]["seconds"]]),
            Claim(f"{name}: time to fit and encode", "s", [table["fit"]["seconds"] + table["encode"]["seconds"]]),
        ]
    return [
        *claims,
        *(Claim(f"training, {name}: rows a second", "", [1e6 * BATCH_SIZE / us]) for name, us in median.items()),
    ]


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        if min(options.rounds, options.steps, options.rows // 2_000) < 1:
            raise ValueError("--rounds and --steps must be at least 1, and --rows at least 2,000")
    stages, timed = in_own_processes(options.rows), contestants(options.steps)
    turns: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(options.rounds + 1):  # the first round compiles and is not counted
        for name, measure in timed.items():
            value = measure()
            print(f"round {turn}: {name} {value:.1f} us per step", file=sys.stderr)
            turns[name] += [value] if turn else []
    record = Record(
        title=f"A table of {options.rows:,} rows and {COLUMNS} columns",
        protocol=f"columns: {', '.join(f'{number} {kind}' for kind, number in KINDS.items())}, 5 % of the cells "
        f"missing; batches of {BATCH_SIZE}, hidden layers {HIDDEN}, {LATENT_DIM} latent dimensions; training steps "
        f"take turns, medians of {options.rounds} rounds of {options.steps} steps. Memory includes the compiler's.",
        command=shlex.join(["python", "-m", "experiments.table_speed", *sys.argv[1:]]),
        claims=claims_of(options.rows, stages, {name: statistics.median(values) for name, values in turns.items()}),
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=device_name(),
        versions=versions(),
        details={"stages": stages, "microseconds": turns},
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.table_speed"))
