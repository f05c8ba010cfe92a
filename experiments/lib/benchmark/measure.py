"""Timing of contestants in turns: only measurements that are interleaved in one run can be compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One round of one contestant."""

    seconds: float
    loss: float  # mean loss of the round, in nats


class Turns(NamedTuple):
    """All rounds of one contestant."""

    first: Sample  # includes compilation and cold caches: not counted
    rounds: list[Sample]

    @property
    def seconds(self) -> float:
        """Median of the rounds."""
        return statistics.median(sample.seconds for sample in self.rounds)

    @property
    def spread(self) -> float:
        """Interquartile range of the rounds, in seconds; their range if there are fewer than four."""
        return spread([sample.seconds for sample in self.rounds])


Contestant = Callable[[], Sample]


def spread(values: Sequence[float]) -> float:
    """Interquartile range, or the range if there are fewer than four values."""
    if len(values) < 4:
        return max(values) - min(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first


def timed(run: Callable[[], float]) -> Contestant:
    """Contestant that times `run`, which does one round, waits for its end and returns the loss."""

    def contestant() -> Sample:
        start = time.perf_counter()
        loss = run()
        return Sample(time.perf_counter() - start, loss)

    return contestant


def take_turns(
    contestants: Mapping[str, Contestant],
    rounds: int,
    say: Callable[[str], None] = lambda line: None,
    pause: float = 0.0,
) -> dict[str, Turns]:
    """Runs every contestant once, uncounted, and then `rounds` times in turns: a drift of the machine affects all.

    Args:
      contestants: contestants by name.
      rounds: number of rounds that count.
      say: called with each line of progress.
      pause: seconds before each turn. The threads of a process keep spinning for a while after its round, in case of
        more work, and would take the processor from the next contestant.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, contestant in contestants.items():
            time.sleep(pause)
            samples[name].append(contestant())
            say(f"round {turn} of {rounds}: {name} {samples[name][-1].seconds:.3f} s")
    return {name: Turns(taken[0], taken[1:]) for name, taken in samples.items()}
