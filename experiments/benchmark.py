"""Speed of this library's workloads on this machine, against the floor of their matrix products and against peers.

    python -m experiments.benchmark --work mlp_vae --json FILE
    python -m venv peers && peers/bin/pip install torch==2.13.0 pythae==0.1.2 numpyro==0.22.0
    python -m experiments.benchmark --peers --peer-python peers/bin/python --sweep --record docs/results/benchmark.json

Workloads: mlp_vae, conv_vae, conv_cifar, importance_sampling, ensemble (8 MLP VAEs), sampling. Each is first started
twice in its own process, to measure the time from the command to the first step without and with compiled programs.
Then its rounds, rounds of its matrix products alone, and rounds of the peers take turns in one run, and medians are
compared. A peer's loss must agree with ours, or it did not do the same work. Half a minute per workload on two idle
cores, one to four minutes with peers. Progress goes to stderr, the records as JSON to the last line of stdout.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

from experiments.lib.benchmark.peers import importable
from experiments.lib.benchmark.record import claims, table
from experiments.lib.benchmark.run import PACKAGES, measure_work
from experiments.lib.benchmark.sweep import measure_sweep, sweep_claims
from experiments.lib.benchmark.work import Setup
from experiments.lib.benchmark.works import WORKS, check
from experiments.lib.records import Record, write_record
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import device_name


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    work: tuple[str, ...] = tuple(WORKS)
    """workloads: one or more of mlp_vae, conv_vae, conv_cifar, importance_sampling, ensemble, sampling"""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON list to write, with a record for each workload; default: none"""
    rounds: int = 7
    """number of timings of each contestant"""
    devices: int = 1
    """number of devices that share each batch"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """number format of the networks; parameters and densities stay float32"""
    batch_size: int | None = None
    """examples per step, over all devices; default: each workload's own"""
    profile: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """folder for a trace of one round of each workload, DIR/WORK/.../perfetto_trace.json.gz, to open in Perfetto"""
    peers: bool = False
    """also measure PyTorch, pythae and numpyro, as far as --peer-python has them"""
    peer_python: str = sys.executable
    """Python interpreter of the peers"""
    sweep: bool = False
    """also measure the throughput against the batch size and the number of models"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a record for the docs, docs/results/NAME.json; a sweep also writes docs/images/NAME.png"""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def docs_record(options: Options, records: list[dict[str, Any]], sweep: dict[str, Any] | None, start: float) -> Record:
    versions = {name: number for record in records for name, number in record["versions"].items()}
    precision, products = options.precision, max(record["floor_flops_per_second"] for record in records)
    # Machines with the same name differ by a factor of two: their speed in matrix products distinguishes them.
    machine = f"{device_name()}, {records[0]['instructions']}, {products / 1e9:.0f} GFLOP/s in matrix products"
    protocol = (
        f"{precision}, {options.devices} device(s), contestants take turns in one run, medians of {options.rounds} "
    )
    protocol += "rounds; peers start from the same weights, with the same shuffling, binarization, loss and Adam; "
    return Record(
        title=f"Training and inference steps, {machine}",
        protocol=protocol + "; ".join(f"{record['work']}: {record['protocol']}" for record in records) + ".",
        command=shlex.join(["python", "-m", "experiments.benchmark", *sys.argv[1:]]),
        claims=claims(records) + (sweep_claims(sweep) if sweep else []),
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=machine,
        versions=versions,
        details={"records": records} | ({"sweep": sweep} if sweep else {}),
    )


def main(options: Options) -> None:
    start = time.monotonic()
    setup = Setup(options.precision, options.devices, options.batch_size)
    with exit_on_bad_input():
        if options.rounds < 1:
            raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
        if not options.work:
            raise ValueError(f"--work must name one or more of the workloads {', '.join(WORKS)}, got none")
        check(options.work, setup)
        if options.peers and (options.precision, options.devices, jax.default_backend()) != ("float32", 1, "cpu"):
            raise ValueError(
                "--peers must run in float32 on one CPU, without --precision and --devices, got "
                f"{options.precision} on {options.devices} device(s) ({jax.default_backend()})"
            )
        names = sorted({name for needed in PACKAGES.values() for name in needed})
        packages = importable(options.peer_python, names) if options.peers else []
    records = []
    for name in options.work:
        records.append(
            measure_work(
                name,
                setup,
                options.rounds,
                say,
                profile=options.profile,
                peer_python=options.peer_python if options.peers else None,
                packages=packages,
                peer_folder=Path(__file__).parent / "peers",
            )
        )
        say(table(records[-1]))
        if options.json is not None:  # after each workload, so that an interrupted run keeps its records
            options.json.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(options.json, json.dumps(records, indent=2) + "\n")
    sweep = measure_sweep(options.precision, options.rounds, say) if options.sweep else None
    if options.record is not None:
        write_record(options.record, docs_record(options, records, sweep, start))
        if sweep is not None:
            from vae_jax.visualization import save_figure, throughput  # matplotlib is needed only here

            by_models = sweep["model_steps_per_second"]
            figure = throughput(
                sweep["batch_sizes"],
                sweep["examples_per_second"],
                sweep["models"],
                by_models["together"],
                by_models["separate"],
            )
            images = options.record.parent.parent / "images"
            images.mkdir(parents=True, exist_ok=True)
            save_figure(figure, images / f"{options.record.stem}.png")
    print(json.dumps(records))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.benchmark"))
