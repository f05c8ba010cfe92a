"""Faults of machines: full disks, read-only and removed folders, closed pipes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from experiments.lib.faults import forked
from experiments.lib.faults.fault_cases import Case, Result
from experiments.lib.faults.file_events import at_events, full_from, signal_at
from experiments.lib.faults.folder_state import differences, hashes, state_of
from experiments.lib.faults.small_runs import Bench


def _one_line(outcome: forked.Outcome, codes: Sequence[int]) -> list[str]:
    """Faults in the exit code and the messages of a command that could not continue."""
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    wrong = [] if outcome.code in codes else [f"exit {outcome.code}, not {' or '.join(map(str, codes))}"]
    wrong += ["a traceback"] if "Traceback" in outcome.err or "Exception ignored" in outcome.err else []
    return wrong + ([] if len(errors) == 1 else [f"{len(errors)} lines of error"])


def _result(wrong: Sequence[str], outcome: forked.Outcome, well: str) -> list[Result]:
    details = {"wrong": list(wrong), "exit": outcome.code, "said": outcome.last_line}
    return [Result("NOT AS PROMISED", False, details) if wrong else Result(well, True, details)]


def _continued(recipe: str, folder: Path, bench: Bench) -> list[str]:
    """Faults of a run that is continued after the machine's fault has been removed."""
    outcome = bench.train(recipe, folder)
    if outcome.code != 0:
        return [f"not resumed: exit {outcome.code}: {outcome.last_line}"]
    found = differences(bench.references[recipe].state, state_of(folder, bench.log("state")))
    return [f"other bits: {found[:4]}"] if found else []


def _full(recipe: str, inside: Callable[[Path], None], bench: Bench) -> list[Result]:
    """Simulates a full disk from some event on, and then frees it."""
    folder = bench.fresh()
    outcome = bench.train(recipe, folder, inside=partial(inside, folder))
    if outcome.code == 0:
        return []
    return _result(_one_line(outcome, [1]) + _continued(recipe, folder, bench), outcome, "one line, then bit-identical")


def _limited(size: int, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def _mounted(bench: Bench, size: str) -> Iterator[Path | None]:
    """Yields a file system of the given size in memory, or None if this user may not mount one."""
    place = bench.scratch / "mounted"
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        made = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        made = False
    try:
        yield place if made else None
    finally:
        if made:
            subprocess.run(["umount", "-l", str(place)], capture_output=True)


def _remounted(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True, capture_output=True)


def _full_device(recipe: str, kilobytes: int, bench: Bench) -> list[Result]:
    with _mounted(bench, f"{kilobytes}k") as place:
        if place is None:
            return []
        outcome = bench.train(recipe, place / "run")
        if outcome.code == 0:
            return []
        wrong = _one_line(outcome, [1, 2] if not (place / "run" / "config.json").exists() else [1])
        _remounted(place, "size=200m")
        wrong += _continued(recipe, place / "run", bench)
        return _result(wrong, outcome, "one line, then bit-identical")


def _read_only(recipe: str, command: Sequence[str], codes: Sequence[int], bench: Bench) -> list[Result]:
    """Runs a command on a read-only run folder."""
    with _mounted(bench, "200m") as place:
        if place is None:
            return []
        run = place / "run"
        shutil.copytree(bench.references[recipe].finished, run)
        before = hashes(run)
        _remounted(place, "ro")
        outcome = forked.run([word.format(run=run, out=bench.scratch / "made") for word in command], bench.log())
        wrong = _one_line(outcome, codes) if 0 not in codes else []
        if 0 in codes and (outcome.code or "Traceback" in outcome.err):
            wrong = [f"exit {outcome.code}"]
        wrong += ["files changed"] if hashes(run) != before else []
        return _result(wrong, outcome, "one line" if 0 not in codes else "as ever")


def _removed(recipe: str, share: float, bench: Bench) -> list[Result]:
    """Removes the folder of a run while it trains."""
    folder = bench.fresh()
    moment = share * bench.references[recipe].seconds

    def watch(pid: int) -> bool:
        if forked.cpu_seconds(pid) < moment or not (folder / "config.json").exists():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True

    outcome = bench.train(recipe, folder, watch=watch)
    return _result(_one_line(outcome, [1, 2]), outcome, "one line") if outcome.code else []


def _closed_pipe(recipe: str, arguments: Sequence[str], bench: Bench) -> list[Result]:
    """Runs a command whose stdout is a closed pipe."""
    folder = bench.fresh(bench.references[recipe].finished)

    def closed() -> None:
        take, give = os.pipe()
        os.dup2(give, 1)
        os.close(take)

    outcome = forked.run([argument.format(run=folder) for argument in arguments], bench.log(), inside=closed)
    messages = ("Traceback", "BrokenPipe", "Broken pipe", "Exception ignored")
    return _result([f"said {message}" for message in messages if message in outcome.err], outcome, "in silence")


def _two_writers(recipe: str, share: float, bench: Bench) -> list[Result]:
    """Resumes a folder in a second process while the first is working on it."""
    reference, folder = bench.references[recipe], bench.fresh()
    number = max(1, int(share * len(reference.events)))
    second: list[forked.Outcome] = []

    def watch(pid: int) -> bool:
        if "State:\tT" not in Path(f"/proc/{pid}/status").read_text():
            return False
        if (folder / "config.json").exists():
            arguments = ["train", recipe, *reference.flags, "--run-dir", str(folder), "--resume"]
            second.append(forked.run(arguments, bench.log("second")))
        os.kill(pid, signal.SIGCONT)
        return True

    stop = partial(at_events, folder, signal_at(number, signal.SIGSTOP))
    outcome = bench.train(recipe, folder, inside=stop, watch=watch)
    if not second:
        return []
    wrong = [f"the second: {fault}" for fault in _one_line(second[0], [2])]
    wrong += [] if outcome.code == 0 else [f"the first: exit {outcome.code}: {outcome.last_line}"]
    found = differences(reference.state, state_of(folder, bench.log("state")))
    return _result([*wrong, *([f"other bits: {found[:4]}"] if found else [])], second[0], "the second is told")


def input_output_cases(bench: Bench, recipes: Sequence[str], count: int, seed: int) -> Iterator[Case]:
    """Yields `count` cases of every kind of fault at random moments, and one case for every command."""
    rng, kind = random.Random(f"{seed} input and output"), "input and output"
    for i in range(count):
        recipe = recipes[i % len(recipes)]
        events = bench.references[recipe].events
        number = rng.choice([event.number for event in events if event.kind in ("open", "write", "fsync", "mkdir")])
        at = lambda folder, number=number: at_events(folder, full_from(number))
        yield Case(kind, f"full/{recipe}/from event {number}", partial(_full, recipe, at))
        size = rng.choice((300, 2_000, 10_000, 30_000))
        yield Case(kind, f"full/{recipe}/{i}: no file above {size}", partial(_full, recipe, partial(_limited, size)))
        kilobytes = rng.choice((4, 40, 100, 200, 300))
        yield Case(kind, f"full/{recipe}/{i}: {kilobytes} kB", partial(_full_device, recipe, kilobytes))
        share = round(rng.uniform(0.1, 1.0), 4)
        yield Case(kind, f"removed/{recipe}/at {share}", partial(_removed, recipe, share))
        yield Case(kind, f"two writers/{recipe}/at {share}", partial(_two_writers, recipe, share))
    for recipe in recipes[:count]:
        for command, codes in (
            (f"train {recipe} --run-dir {{run}} --resume", [1, 2]),
            ("report {run}", [1, 2]),
            ("export {run} --format safetensors", [1, 2]),
            ("show {run}", [0]),
            ("list {run}", [0]),
            ("sample {run} --count 4 --output {out}.png", [0]),
        ):
            run = partial(_read_only, recipe, command.split(), codes)
            yield Case(kind, f"read only/{recipe}/{command.split()[0]}", run)
        for command in ("show {run}", "show {run} --json", "list {run}", f"train {recipe} --run-dir {{run}} --resume"):
            yield Case(kind, f"closed pipe/{recipe}/{command}", partial(_closed_pipe, recipe, command.split()))
