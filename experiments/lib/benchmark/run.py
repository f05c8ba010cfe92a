"""Measurement of one workload: fresh starts, turns with its floor and its peers, and an optional trace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from experiments.lib.benchmark.floor import make_floor
from experiments.lib.benchmark.flops import compiled_flops
from experiments.lib.benchmark.measure import take_turns, timed
from experiments.lib.benchmark.peers import Peers, peers_of
from experiments.lib.benchmark.record import FLOOR, OURS, instructions, make_record
from experiments.lib.benchmark.start import measure_starts
from experiments.lib.benchmark.work import Setup, Work
from experiments.lib.benchmark.works import WORKS
from vae_jax.runs.machine import device_name, versions

# Seconds: longer than idle threads of OpenMP or of a thread pool keep spinning.
PAUSE = 0.5

# Packages that each script of experiments/peers imports.
PACKAGES = {
    "torch_training.py": ("torch",),
    "pythae_training.py": ("torch", "pythae"),
    "numpyro_training.py": ("numpyro",),
    "torch_likelihood.py": ("torch", "pythae"),
}


def measure_work(
    name: str,
    setup: Setup,
    rounds: int,
    say: Callable[[str], None],
    *,
    profile: Path | None = None,
    peer_python: str | None = None,
    packages: list[str] | None = None,
    peer_folder: Path = Path("experiments/peers"),
) -> dict[str, Any]:
    """Measures one workload and returns its record.

    Args:
      name: name of the workload, a key of WORKS.
      setup: setup of the workload, already checked.
      rounds: number of rounds that count.
      say: called with each line of progress.
      profile: folder for the trace of one round, in a subfolder with the workload's name; None for no trace.
      peer_python: Python interpreter of the peers; None for no peers.
      packages: packages that this interpreter can import.
      peer_folder: folder of the peers' scripts.
    """
    say(f"{name}: two fresh starts")
    starts = measure_starts(name, setup)
    work = WORKS[name](setup)
    say(f"{name}: counting operations")
    function, arguments = work.step()
    flops = compiled_flops(function, *arguments)
    floor = make_floor(work.products, work.steps, setup.dtype, setup.batch_sharding())
    ours = {OURS: timed(work.round), FLOOR: timed(floor)} | {n: timed(rival) for n, rival in work.rivals.items()}
    with _peers(work, peer_python, packages or [], peer_folder) as peers:
        turns = take_turns(ours | peers.contestants, rounds, lambda line: say(f"{name}, {line}"), PAUSE)
    about = {"device": device_name(), "instructions": instructions(), "versions": versions() | peers.versions}
    if profile is not None:
        with jax.profiler.trace(profile / name, create_perfetto_trace=True):
            work.round()
    return make_record(work, setup, turns, starts, flops, about)


def _peers(
    work: Work, python: str | None, packages: list[str], folder: Path
) -> contextlib.AbstractContextManager[Peers]:
    scripts = [folder / script for script in work.peers if set(PACKAGES[script]) <= set(packages)]
    return peers_of(python, scripts, work.name, work.problem) if python else contextlib.nullcontext(Peers({}, {}))
