"""Throughput of mlp_vae against the batch size, and of its ensembles against the number of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from experiments.lib.benchmark.measure import take_turns, timed
from experiments.lib.benchmark.train import ensemble_work, mlp_work
from experiments.lib.benchmark.work import Setup
from experiments.lib.records import Claim

BATCHES, MEMBERS = (32, 64, 128, 256, 512, 1024), (1, 2, 4, 8, 16)
MODEL_STEPS = 160  # training steps per round of an ensemble, over all of its models


def measure_sweep(
    precision: str,
    rounds: int,
    say: Callable[[str], None],
    batches: Sequence[int] = BATCHES,
    members: Sequence[int] = MEMBERS,
    examples: int = 12_800,
) -> dict[str, Any]:
    """Measures examples per second at each batch size, and model steps per second of M models at batch size 128.

    The models are trained as one program ("together") and one after another ("separate").
    """
    works = {str(b): mlp_work(Setup(precision, 1, b, max(1, examples // b))) for b in batches}
    turns = take_turns({name: timed(work.round) for name, work in works.items()}, rounds, say)
    by_batch = [works[n].batch_size * works[n].steps / turns[n].seconds for n in works]
    by_members: dict[str, list[float]] = {"together": [], "separate": []}
    for count in members:
        steps = max(1, MODEL_STEPS // count)
        work = ensemble_work(Setup(precision, 1, None, steps), count)
        ((_, separate),) = work.rivals.items()
        contestants = {"together": timed(work.round), "separate": timed(separate)}
        taken = take_turns(contestants, rounds, partial(_say, say, count))
        for way in by_members:
            by_members[way].append(count * steps / taken[way].seconds)
    return {
        "batch_sizes": list(batches),
        "examples_per_second": by_batch,
        "models": list(members),
        "model_steps_per_second": by_members,
    }


def sweep_claims(sweep: Mapping[str, Any]) -> list[Claim]:
    """Claims on a sweep: throughput by batch size, and the relative time of one program by number of models."""
    speeds = sweep["model_steps_per_second"]
    relative = [apart / together for together, apart in zip(speeds["together"], speeds["separate"], strict=True)]
    by_batch = zip(sweep["batch_sizes"], sweep["examples_per_second"], strict=True)
    return [
        *(Claim(f"mlp_vae, batch size {batch}: throughput", "examples/s", [speed]) for batch, speed in by_batch),
        *(
            Claim(f"ensemble of {count}: time relative to {count} separate runs", "", [ratio])
            for count, ratio in zip(sweep["models"], relative, strict=True)
        ),
    ]


def _say(say: Callable[[str], None], count: int, line: str) -> None:
    say(f"M = {count}, {line}")
