"""Contestants in turns: what can be compared is what was measured in one run, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One round of one contestant."""

    seconds: float
    loss: float  # of the round, in nats


class Turns(NamedTuple):
    """All rounds of one contestant."""

    first: Sample  # with compilation, caches and memory still cold: not counted
    rounds: list[Sample]

    @property
    def seconds(self) -> float:
        """The median round."""
        return statistics.median(sample.seconds for sample in self.rounds)

    @property
    def spread(self) -> float:
        """Seconds between the quartiles of the rounds; their range where there are fewer than four."""
        return spread([sample.seconds for sample in self.rounds])


Contestant = Callable[[], Sample]


def spread(values: Sequence[float]) -> float:
    """The interquartile range; the range of fewer than four values."""
    if len(values) < 4:
        return max(values) - min(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first


def timed(run: Callable[[], float]) -> Contestant:
    """A contestant of this process: `run` does one round, waits for its end and returns the loss."""

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
    """Every contestant once, uncounted, then `rounds` times each in turn: a drift of the machine meets all alike.

    Args:
      contestants: by name.
      rounds: that count.
      say: takes a line of progress.
      pause: seconds before each turn. The threads of a process go on spinning for a while after its round, in case of
        more work, and would take the processor from the next.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, contestant in contestants.items():
            time.sleep(pause)
            samples[name].append(contestant())
            say(f"round {turn} of {rounds}: {name} {samples[name][-1].seconds:.3f} s")
    return {name: Turns(taken[0], taken[1:]) for name, taken in samples.items()}
