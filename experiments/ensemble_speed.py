"""Eight VAEs trained as one program against eight separate runs, measured as whole commands.

    python -m experiments.ensemble_speed

Each round runs `python -m experiments.vae --seeds 8` and then the same command for each seed alone. Start, checkpoints,
evaluation and report are included. Programs are compiled in a first round, which is not counted. About eight minutes on
two idle cores.
"""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import device_name, versions


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    models: int = 8
    """number of models, trained at once and one after another"""
    epochs: int = 30
    """training epochs of each model, of 3,600 digits each"""
    rounds: int = 2
    """number of timings of each contestant"""
    record: Path = Path("docs/results/ensemble_speed.json")
    """path of the JSON record to write"""


def run(arguments: list[str], cache: Path) -> np.ndarray:
    """Runs experiments.vae; returns the seconds of the whole command, and of all epochs after the first."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.vae", "--patience", "None", "--run-dir", f"{folder}/run"]
        command += arguments
        environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begun
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr}")
        rows = [json.loads(line) for line in Path(f"{folder}/run/metrics.jsonl").read_text().splitlines()]
    return np.array([seconds, rows[-1]["seconds"] - rows[0]["seconds"]])


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        for name in ("models", "epochs", "rounds"):
            if getattr(options, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(options, name)}")
    together, separate = [], []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.rounds + 1):
            common = ["--epochs", str(options.epochs)]
            seeds = range(options.models) if number else range(1)  # the first run compiles the program of all
            together.append(run([*common, "--seeds", str(options.models)], Path(cache)))
            separate.append(np.sum([run([*common, "--seed", str(seed)], Path(cache)) for seed in seeds], axis=0))
            print(f"round {number}: together {together[-1]}, separate {separate[-1]} s", file=sys.stderr)
    (one, one_trains), (many, many_train) = (np.median(turns[1:], axis=0).tolist() for turns in (together, separate))
    record = Record(
        title=f"{options.models} VAEs as one program, {device_name()}",
        protocol=f"784-400-20 on the embedded digits, {options.epochs} epochs, batch 128; whole commands with start, "
        f"checkpoints, evaluation and report, programs already compiled; contestants take turns, medians of "
        f"{options.rounds} rounds.",
        command=shlex.join(["python", "-m", "experiments.ensemble_speed", *sys.argv[1:]]),
        claims=[
            Claim(f"one program, --seeds {options.models}", "s", [one]),
            Claim(f"{options.models} runs one after another", "s", [many]),
            Claim("time relative to separate runs, whole commands", "", [one / many], at_most=1 / 0.95),
            Claim(
                "time relative to separate runs, epochs after the first",
                "",
                [one_trains / many_train],
                at_most=1 / 0.95,
            ),
        ],
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=device_name(),
        versions=versions(),
        details={"together": np.array(together[1:]).tolist(), "separate": np.array(separate[1:]).tolist()},
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.ensemble_speed"))
