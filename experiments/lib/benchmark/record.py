"""What was measured of a work, as a flat JSON record, and as the claims of a record for the docs."""

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
# How far the last losses of two contestants may lie apart, as a share of the larger: they train on other noise, in
# another order, and the short rounds of the convolutional works show that most.
LOSS_TOLERANCE = {"conv_vae": 0.1, "conv_cifar": 0.05}
USUAL_TOLERANCE = 0.02

# How many times as fast as each contestant a work must be, and what share of its time the floor must be.
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
# Of mlp_vae on two devices that are simulated on the same cores, at a batch of 1024.
SIMULATED_BARS = {"one device": 1 / 1.15}
FLOOR_BARS = {"mlp_vae": 0.75}
SECOND_START_BAR = 4.0  # seconds, of mlp_vae


def make_record(
    work: Work,
    setup: Setup,
    turns: Mapping[str, Turns],
    starts: tuple[Start, Start],
    flops: float | None,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of one work.

    Args:
      work: what was measured.
      setup: it was built for.
      turns: of OURS, FLOOR and whatever else took turns with them.
      starts: the first and the second start of the work.
      flops: of a step, as XLA counts.
      about: device, versions, instructions.
    """
    ours = turns[OURS]
    per_step = 1e3 / work.steps
    others = {name: _beside(work, ours, turns[name], per_step) for name in turns if name not in (OURS, FLOOR)}
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


def _beside(work: Work, ours: Turns, other: Turns, per_step: float) -> dict[str, Any]:
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
    """Whether the bars, which are of a CPU, are for this record."""
    plain = record["precision"] == "float32" and record["devices"] == 1
    return plain and record["usual_batch"] and record["device"].startswith("cpu")


def _is_simulated(record: Mapping[str, Any]) -> bool:
    wanted = {"work": "mlp_vae", "precision": "float32", "devices": 2, "batch_size": 1024}
    return all(record[name] == value for name, value in wanted.items()) and record["device"].startswith("cpu")


def claims(records: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """What the records say, each bar beside the number that it is for: times of ours by times of theirs."""
    made = []
    for record in records:
        work, usual = record["work"], _is_usual(record)
        bars = BARS.get(work, {}) if usual else SIMULATED_BARS if _is_simulated(record) else {}
        made.append(Claim(f"{work}: time of a step", "ms", [record["step_milliseconds"]]))
        for name, peer in record["peers"].items():
            bar = bars.get(name)
            made.append(Claim(f"{work}: our time by that of {name}", "", [1 / peer["ratio"]], at_most=bar and 1 / bar))
            difference = [100 * peer["loss_difference"]]
            made.append(
                Claim(f"{work}: our loss and {name}'s, apart", "%", difference, at_most=100 * peer["loss_tolerance"])
            )
        bar = FLOOR_BARS.get(work) if usual else None
        by_floor = 1 / record["fraction_of_floor"]
        made.append(Claim(f"{work}: our time by that of its products alone", "", [by_floor], at_most=bar and 1 / bar))
        limit = SECOND_START_BAR if work == "mlp_vae" and usual else None
        made.append(
            Claim(f"{work}: second start, to its first step", "s", [record["seconds_to_first_step"]], at_most=limit)
        )
    return made


def instructions() -> str:
    """The widest vector instructions of this processor, as far as the system tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return platform.machine()
    for flag, name in (("avx512f", "AVX512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON")):
        if flag in flags:
            return name
    return platform.machine()


def table(record: Mapping[str, Any]) -> str:
    """A few lines for the eye."""
    time = f"{record['step_milliseconds']:.3f} ms a step (spread {record['step_milliseconds_spread']:.3f})"
    speed = f"{record['examples_per_second']:,.0f} examples/s, {record['fraction_of_floor']:.2f} of the floor"
    lines = [f"{record['work']}: {time}, {speed}"]
    for name, peer in record["peers"].items():
        note = "" if peer["same_work"] else f"; its loss differs by {peer['loss_difference']:.1%}: not the same work"
        lines.append(f"  {peer['ratio']:.2f} x as fast as {name} ({peer['step_milliseconds']:.3f} ms a step){note}")
    return "\n".join(lines)
