"""Measurements of a workload, as a flat JSON record and as the claims of a record for the docs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.lib.benchmark.flops import formula_flops
from experiments.lib.benchmark.measure import Turns
from experiments.lib.benchmark.start import Start
from experiments.lib.benchmark.work import Setup, Work
from experiments.lib.records import Claim

OURS, FLOOR = "vae_jax", "matrix products alone"
# Largest relative difference between the last losses of two contestants. Noise and order of the examples differ
# between them, which shows most in the short rounds of the convolutional workloads.
LOSS_TOLERANCE = {"conv_vae": 0.1, "conv_cifar": 0.05}
USUAL_TOLERANCE = 0.02

# Smallest accepted speed of a workload relative to each contestant.
BARS: dict[str, dict[str, float]] = {
    "mlp_vae": {
        "pythae": 3.3,
        "pytorch": 2.5,
        "pytorch_dataloader": 2.5,
        "pytorch_compiled": 2.0,
        "numpyro": 1.2,
    },
    "conv_vae": {"pytorch": 1.2, "pytorch_compiled": 1.0},
    "conv_cifar": {"pytorch": 1.0},
    "importance_sampling": {"pythae": 4.0, "pytorch": 1.2},
    "ensemble": {"8 separate runs": 0.95},
}
SIMULATED_BARS = {"one device": 1 / 1.15}  # mlp_vae on two devices simulated on the same cores, batch size 1024
FLOOR_BARS = {"mlp_vae": 0.75}  # time of the matrix products alone, as a share of the step's time
SECOND_START_BAR = 4.0  # seconds, for mlp_vae


def make_record(
    work: Work,
    setup: Setup,
    turns: Mapping[str, Turns],
    starts: tuple[Start, Start],
    flops: float | None,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Record of one workload.

    Args:
      work: the measured workload.
      setup: the setup that it was built for.
      turns: timings of OURS, FLOOR and all other contestants.
      starts: the first and the second start of the workload.
      flops: floating-point operations per step, as counted by XLA.
      about: device, versions, instructions.
    """
    ours = turns[OURS]
    per_step = 1e3 / work.steps
    others = {name: _comparison(work, ours, turns[name], per_step) for name in turns if name not in (OURS, FLOOR)}
    return {
        "work": work.name,
        "protocol": work.protocol,
        "precision": setup.precision,
        "devices": setup.devices,
        "batch_size": work.batch_size,
        "usual_batch": setup.batch_size is None,
        "steps_per_round": work.steps,
        "rounds": len(ours.rounds),
        "examples_per_second": work.batch_size * work.steps / ours.seconds,
        "step_milliseconds": ours.seconds * per_step,
        "step_milliseconds_spread": ours.spread * per_step,
        "step_milliseconds_rounds": [sample.seconds * per_step for sample in ours.rounds],
        "compile_seconds": starts[0].seconds - starts[1].seconds,
        "seconds_to_first_step": starts[1].seconds,
        "seconds_to_first_step_uncached": starts[0].seconds,
        "flops_per_step": flops,
        "flops_per_step_formula": formula_flops(work.products),
        "flops_per_second": formula_flops(work.products) / (ours.seconds / work.steps),
        "fraction_of_floor": turns[FLOOR].seconds / ours.seconds,
        "floor_step_milliseconds": turns[FLOOR].seconds * per_step,
        "floor_flops_per_second": formula_flops(work.products) / (turns[FLOOR].seconds / work.steps),
        "peak_memory_bytes": starts[1].peak_memory_bytes,
        "loss": ours.rounds[-1].loss,
        "peers": others,
        **about,
    }


def _comparison(work: Work, ours: Turns, other: Turns, per_step: float) -> dict[str, Any]:
    losses = (ours.rounds[-1].loss, other.rounds[-1].loss)
    difference = abs(losses[0] - losses[1]) / max(map(abs, losses))
    tolerance = LOSS_TOLERANCE.get(work.name, USUAL_TOLERANCE)
    return {
        "step_milliseconds": other.seconds * per_step,
        "step_milliseconds_spread": other.spread * per_step,
        "ratio": other.seconds / ours.seconds,  # above 1: we are faster
        "loss": losses[1],
        "loss_difference": difference,
        "loss_tolerance": tolerance,
        "same_work": difference <= tolerance,
    }


def _is_usual(record: Mapping[str, Any]) -> bool:
    """Returns True if the bars, which are set for one CPU, apply to this record."""
    plain = record["precision"] == "float32" and record["devices"] == 1
    return plain and record["usual_batch"] and record["device"].startswith("cpu")


def _is_simulated(record: Mapping[str, Any]) -> bool:
    """Returns True if SIMULATED_BARS apply to this record."""
    wanted = {"work": "mlp_vae", "precision": "float32", "devices": 2, "batch_size": 1024}
    return all(record[name] == value for name, value in wanted.items()) and record["device"].startswith("cpu")


def claims(records: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Claims of the records; times are relative: vae_jax's time divided by the contestant's."""
    made = []
    for record in records:
        work, usual = record["work"], _is_usual(record)
        bars = BARS.get(work, {}) if usual else SIMULATED_BARS if _is_simulated(record) else {}
        made.append(Claim(f"{work}: time per step", "ms", [record["step_milliseconds"]]))
        for name, peer in record["peers"].items():
            bar = bars.get(name)
            made.append(Claim(f"{work}: time relative to {name}", "", [1 / peer["ratio"]], at_most=bar and 1 / bar))
            difference, limit = [100 * peer["loss_difference"]], 100 * peer["loss_tolerance"]
            made.append(Claim(f"{work}: difference of the loss from {name}", "%", difference, at_most=limit))
        bar = FLOOR_BARS.get(work) if usual else None
        to_floor = 1 / record["fraction_of_floor"]
        made.append(Claim(f"{work}: time relative to the {FLOOR}", "", [to_floor], at_most=bar and 1 / bar))
        uncached, cached = record["seconds_to_first_step_uncached"], record["seconds_to_first_step"]
        limit = SECOND_START_BAR if work == "mlp_vae" and usual else None
        made.append(Claim(f"{work}: first start, time to the first step", "s", [uncached]))
        made.append(Claim(f"{work}: second start, time to the first step", "s", [cached], at_most=limit))
    return made


def instructions() -> str:
    """Widest vector instructions of this processor; the machine's architecture if the system does not list them."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return platform.machine()
    for flag, name in (("avx512f", "AVX512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON")):
        if flag in flags:
            return name
    return platform.machine()


def table(record: Mapping[str, Any]) -> str:
    """Summary of a record in a few lines of text."""
    time = f"{record['step_milliseconds']:.3f} ms a step (spread {record['step_milliseconds_spread']:.3f})"
    speed = f"{record['examples_per_second']:,.0f} examples/s, {record['fraction_of_floor']:.2f} of the floor"
    lines = [f"{record['work']}: {time}, {speed}"]
    for name, peer in record["peers"].items():
        note = "" if peer["same_work"] else f"; its loss differs by {peer['loss_difference']:.1%}: not the same work"
        lines.append(f"  {peer['ratio']:.2f} x as fast as {name} ({peer['step_milliseconds']:.3f} ms a step){note}")
    return "\n".join(lines)
