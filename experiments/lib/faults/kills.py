"""Runs that are killed or stopped and then continued, which must end in the bits of an uninterrupted run."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.lib.faults import forked
from experiments.lib.faults.fault_cases import Case, Result
from experiments.lib.faults.file_events import at_events, signal_at
from experiments.lib.faults.folder_state import differences, leftovers, state_of
from experiments.lib.faults.small_runs import Bench, Event

# Trains in the folder until the run is interrupted, and returns the outcome.
Interrupt = Callable[[Bench, str, Path], forked.Outcome]
_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def at_event(number: int, sent: int = signal.SIGKILL) -> Interrupt:
    """Signal by the process to itself, at the event with a number."""

    def interrupt(bench: Bench, recipe: str, folder: Path) -> forked.Outcome:
        return bench.train(recipe, folder, inside=partial(at_events, folder, signal_at(number, sent)))

    return interrupt


def at_share(share: float, sent: int = signal.SIGKILL) -> Interrupt:
    """Signal from another process, after a share of an uninterrupted run's processor time."""

    def interrupt(bench: Bench, recipe: str, folder: Path) -> forked.Outcome:
        moment = share * bench.references[recipe].seconds

        def watch(pid: int) -> bool:
            if forked.cpu_seconds(pid) < moment:
                return False
            os.kill(pid, sent)
            return True

        return bench.train(recipe, folder, watch=watch)

    return interrupt


def at_sight(number: int, sent: int = signal.SIGKILL) -> Interrupt:
    """Signal from another process, as soon as a number of new names have appeared in the folder."""

    def interrupt(bench: Bench, recipe: str, folder: Path) -> forked.Outcome:
        seen = {str(path) for path in folder.rglob("*")} if folder.exists() else set()
        before = len(seen)

        def watch(pid: int) -> bool:
            _see(str(folder), seen)
            if len(seen) - before < number:
                return False
            os.kill(pid, sent)
            return True

        return bench.train(recipe, folder, watch=watch)

    return interrupt


def _see(folder: str, seen: set[str]) -> None:
    try:
        entries = list(os.scandir(folder))
        for entry in entries:
            seen.add(entry.path)
            if entry.is_dir(follow_symlinks=False):
                _see(entry.path, seen)
    except OSError:
        return


def interrupted(recipe: str, interrupts: Sequence[Interrupt], sent: int, bench: Bench) -> list[Result]:
    """Interrupts a run, continues it by the same command with --resume, and compares it with the reference."""
    folder, reference = bench.fresh(), bench.references[recipe]
    wrong: list[str] = []
    last, codes = "", []
    for interrupt in interrupts:
        outcome = interrupt(bench, recipe, folder)
        codes.append(outcome.code)
        last = outcome.last_line
        if sent != signal.SIGKILL and outcome.code != 0:
            wrong += _stop_faults(outcome, sent, folder, bench, reference.state)
        elif outcome.code not in (0, -sent):
            wrong.append(f"exit {outcome.code}: {last}")
    reached = sum(code != 0 for code in codes)
    outcome = bench.train(recipe, folder)
    if outcome.code != 0:
        return [Result("NOT RESUMED", False, {"exit": outcome.code, "said": outcome.last_line, "before": last})]
    found = differences(reference.state, state_of(folder, bench.log()))
    if found:
        return [Result("OTHER BITS", False, {"differ": found[:6], "in all": len(found), "said": outcome.last_line})]
    if wrong:
        return [Result("NOT AS PROMISED", False, {"wrong": wrong})]
    details = {"interruptions": reached, "left behind": leftovers(folder)[:5], "killed": last}
    return [Result("bit-identical" if reached else "ended before it", True, details)]


def _stop_faults(
    outcome: forked.Outcome, sent: int, folder: Path, bench: Bench, reference: dict[str, Any]
) -> list[str]:
    """Faults after SIGTERM or Ctrl-C in the exit code, the message, and the saved state."""
    wrong = []
    if outcome.code != _CODES[signal.Signals(sent)]:
        wrong.append(f"exit {outcome.code} after {signal.Signals(sent).name}: {outcome.last_line}")
    if "Traceback" in outcome.err:
        wrong.append(f"a traceback: {outcome.last_line}")
    if not (folder / "config.json").exists():
        return wrong
    if "--resume" not in outcome.last_line:
        wrong.append(f"does not say how to continue: {outcome.last_line}")
    state = state_of(folder, bench.log())
    for name in (name for name in reference if name.endswith("metrics.jsonl") and name in state):
        (epochs, steps), (all_epochs, all_steps) = _progress(state, name), _progress(reference, name)
        if steps * all_epochs < epochs * all_steps:
            wrong.append(f"{name} has {epochs} epochs, but the last saved step is {steps}")
    return wrong


def _progress(state: dict[str, Any], metrics: str) -> tuple[int, int]:
    """Last epoch in the rows of a metrics file, and last step in the checkpoint beside it."""
    saved = state.get(metrics.replace("metrics.jsonl", "checkpoints/last"), {})
    steps = [value for name, value in saved.items() if "step" in name and isinstance(value, int)]
    rows = state[metrics] if isinstance(state[metrics], list) else []
    return max((int(row["epoch"]) for row in rows), default=0), max(steps, default=0)


def kill_cases(
    events: Mapping[str, Sequence[Event]], sights: Mapping[str, int], counts: dict[str, int], seed: int
) -> Iterator[Case]:
    """Yields kills of every recipe, and stops by SIGTERM and Ctrl-C.

    Args:
      events: events of an uninterrupted run of each recipe; every kind of event on every kind of file is used first.
      sights: number of names in the folder of such a run.
      counts: number of cases of the kinds "events", "sights", "times", "chains" and "stops", over all recipes.
      seed: random seed.
    """
    for recipe, of_run in events.items():
        rng = random.Random(f"{seed} {recipe}")
        many = {name: max(1, round(count / len(events))) if count else 0 for name, count in counts.items()}
        for event in _spread(of_run, many["events"], rng):
            name = f"kill/{recipe}/event {event.number}: {event.kind} {event.path}"
            yield _case("kill", name, recipe, [at_event(event.number)])
        for i in range(many["sights"]):
            number = 1 + i * sights[recipe] // many["sights"]
            yield _case("kill", f"kill/{recipe}/name {number} seen", recipe, [at_sight(number)])
        for _ in range(many["times"]):
            share = round(rng.uniform(0.05, 1.0), 4)
            yield _case("kill", f"kill/{recipe}/at {share}", recipe, [at_share(share)])
        for i in range(many["chains"]):
            numbers = sorted(rng.sample(range(1, len(of_run)), 2 + i % 2))
            # A resumed run has fewer events left; the advanced clock makes it save again soon.
            chain = [at_event(max(1, number // (1 + j))) for j, number in enumerate(numbers)]
            yield _case("kill", f"kill/{recipe}/events {numbers}", recipe, chain)
        for i in range(many["stops"]):
            sent = (signal.SIGTERM, signal.SIGINT)[i % 2]
            share, number = round(rng.uniform(0.1, 1.0), 4), rng.randrange(1, len(of_run))
            interrupt = at_share(share, sent) if i % 4 < 2 else at_event(number, sent)
            moment = f"at {share}" if i % 4 < 2 else f"at event {number}"
            yield _case("stop", f"stop/{recipe}/{sent.name} {moment}", recipe, [interrupt], sent)


def _case(kind: str, name: str, recipe: str, interrupts: Sequence[Interrupt], sent: int = signal.SIGKILL) -> Case:
    return Case(kind, name, partial(interrupted, recipe, interrupts, sent))


def _spread(events: Sequence[Event], count: int, rng: random.Random) -> list[Event]:
    """Selects events: one of every kind on every kind of file, then others at random."""
    kinds: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        kinds.setdefault((event.kind, _shape(event.path)), []).append(event)
    firsts = [rng.choice(group) for group in kinds.values()]
    if len(firsts) >= count:
        return sorted(rng.sample(firsts, count), key=lambda event: event.number)
    rest = [event for event in events if event not in firsts]
    return sorted([*firsts, *rng.sample(rest, min(len(rest), count - len(firsts)))], key=lambda event: event.number)


def _shape(path: str) -> str:
    """Kind of a file: its name without numbers and random parts."""
    name = os.path.basename(path)
    if re.fullmatch(r"[0-9a-f]{32}(\.__lock)?", name):
        return "array"
    return re.sub(r"[0-9]+", "N", re.sub(r"\.tmp.*|tmp-.*|\.orbax-.*", ".tmp", name))


def random_kills(recipes: Sequence[str], count: int, seed: int) -> Iterator[Case]:
    """Yields kills at random moments, one to three in a run."""
    rng = random.Random(f"{seed} kills")
    for i in range(count):
        recipe, times = rng.choice(list(recipes)), rng.choice((1, 1, 2, 3))
        shares = [round(rng.uniform(0.02, 1.0), 4) for _ in range(times)]
        name = f"random/{seed}/kill {i}: {recipe} at {shares}"
        yield _case("random kill", name, recipe, [at_share(share) for share in shares])
