"""Damages to single files of a run folder, and the commands that read them."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.lib.faults import forked
from experiments.lib.faults.fault_cases import Case, Result
from experiments.lib.faults.folder_state import differences, hashes, state_of, without_time
from experiments.lib.faults.small_runs import Bench

WAYS = ("cut", "zeroed", "emptied", "deleted", "flipped")
LOADERS = ("evaluate", "sample", "export", "explore", "report")
_READERS = ("show", "list", "compare")
_SAID = re.compile(
    r"damage|checksum|corrupt|cannot be read|missing|last good|earlier|unverified|lost|not match|no valid|"
    r"has no|without|unreadable|not readable|instead",
    re.IGNORECASE,
)


def damage(path: Path, way: str, rng: random.Random) -> str | None:
    """Damages a file without changing its modification time; returns a description, or None if nothing changed."""
    content, about = path.read_bytes(), path.stat()
    if way == "deleted":
        path.unlink()
        return "deleted"
    if way == "flipped" and content:
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        new, said = bytes(changed), f"bit {bit} of byte {place} of {len(content)} flipped"
    else:
        kept = rng.randrange(1, len(content)) if len(content) > 1 else 0
        new = {"cut": content[:kept], "zeroed": bytes(len(content)), "emptied": b""}.get(way, content)
        said = f"cut to {kept} of {len(content)} bytes" if way == "cut" else way
    if new == content:
        return None
    path.write_bytes(new)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    return said


def files_of(folder: Path) -> list[str]:
    """Names of all files of a run folder, except figures, which are drawn again and never read."""
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for name in names if not name.startswith("figures/") and not name.endswith(".lock")]


def commands_for(recipe: str, name: str, way: int, turn: int) -> tuple[str, ...]:
    """Commands to run on a file that is damaged in one way.

    Files of the run itself are read by --resume, by the readers, and by one of the commands that load a model, in turn.
    The many files in subfolders are read by one command each: --resume or a command that loads a model, in turn. In a
    slow recipe, export, which loads by the same function within a second, is used for three of the five ways.
    """
    if name in ("report.html", "MODEL.md"):
        return ("resume",)
    if "/" not in name:
        return ("resume", LOADERS[(turn + way // 2) % len(LOADERS)], *_READERS)
    if name.startswith("scores/"):
        commands: tuple[str, ...] = ("resume", "report")
    elif recipe == "vae":
        commands = ("resume", LOADERS[(turn + way // 2) % len(LOADERS)])
    else:
        slow = [loader for loader in LOADERS if loader != "export"]
        commands = ("resume", "export", slow[turn % len(slow)], "export", "export")
    return (commands[(turn + way) % len(commands)],)


def _arguments(command: str, recipe: str, folder: Path, bench: Bench) -> list[str]:
    run, out = str(folder), bench.scratch / "made"
    return {
        "show": ["show", run],
        "list": ["list", run],
        "compare": ["compare", run, str(bench.references[recipe].finished), "--output", f"{out}.png"],
        "evaluate": ["evaluate", run, "--nll-samples", "2", "--ais-images", "0"]
        if recipe != "disentangle"
        else ["evaluate", run, "--metrics", "disentanglement", "--points", "100"],
        "sample": ["sample", run, "--count", "4", "--output", f"{out}.png"],
        "export": ["export", run, "--format", "safetensors", "--output", str(out)],
        "explore": ["explore", run, "--export", f"{out}.html"],
        "report": ["report", run],
    }[command]


def _run_command(command: str, recipe: str, folder: Path, bench: Bench) -> dict[str, Any]:
    """Runs a command on the folder; returns its outcome, its comparable output, and digests of the files it made."""
    for path in bench.scratch.glob("made*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if command == "resume":
        outcome = bench.train(recipe, folder, resume=True)
    else:
        outcome = forked.run(_arguments(command, recipe, folder, bench), bench.log())
    made = (
        {
            name: digest
            for path in (bench.scratch, bench.scratch / "made")
            for name, digest in hashes(path).items()
            if (name.startswith("made") and "/" not in name) or path.name == "made"
        }
        if any(bench.scratch.glob("made*"))
        else {}
    )
    made = {name: digest for name, digest in made.items() if name.endswith((".png", ".safetensors"))}
    said = _comparable(outcome.out, folder, bench) if command != "resume" else ""
    return {"outcome": outcome, "said": said, "made": made}


def _comparable(out: str, folder: Path, bench: Bench) -> Any:
    """Lines of stdout without times, machine and paths; JSON is parsed."""
    lines: list[Any] = []
    for line in out.replace(str(folder), "RUN").replace(str(bench.scratch), "HERE").splitlines():
        try:
            lines.append(without_time(json.loads(line)))
        except json.JSONDecodeError:
            if not re.search(r"second|device|version|page:", line):
                lines.append(" ".join(line.split()))
    return lines


def damaged(
    recipe: str, which: str, name: str, commands: Mapping[str, Sequence[str]], seed: int, bench: Bench
) -> list[Result]:
    """Damages one file of a copy in each way, and compares the commands on it with those on an undamaged folder."""
    source: Path = getattr(bench.references[recipe], which)
    results = []
    for way, commands_of_way in commands.items():
        for command in commands_of_way:
            expected = _baseline(recipe, which, command, bench)
            folder = bench.fresh(source)
            done = damage(folder / name, way, random.Random(f"{seed} {name} {way}"))
            if done is None:
                break
            before = hashes(folder)
            got = _run_command(command, recipe, folder, bench)
            verdict, why = _judge(command, name, expected, got, before, folder, bench)
            ok = verdict[0].islower()
            details = {"file": name, "damage": done, "command": command, "exit": got["outcome"].code, "why": why}
            results.append(Result(verdict, ok, details | {"said": got["outcome"].last_line}))
    return results


_BASELINES: dict[tuple[str, str, str], dict[str, Any]] = {}


def _baseline(recipe: str, which: str, command: str, bench: Bench) -> dict[str, Any]:
    key = recipe, which, command
    if key not in _BASELINES:
        folder = bench.fresh(getattr(bench.references[recipe], which))
        _BASELINES[key] = _run_command(command, recipe, folder, bench)
        _BASELINES[key]["state"] = state_of(folder, bench.log("state"))
        # A resume must end like the uninterrupted run, not like a resume of an undamaged folder.
        if command == "resume":
            _BASELINES[key]["state"] = bench.references[recipe].state
    return _BASELINES[key]


def _judge(
    command: str,
    name: str,
    expected: dict[str, Any],
    got: dict[str, Any],
    before: dict[str, str],
    folder: Path,
    bench: Bench,
) -> tuple[str, Any]:
    """Verdict, in capitals if a promise is broken, and the reason."""
    outcome: forked.Outcome = got["outcome"]
    if outcome.code is None or outcome.code < 0:
        return ("HANG" if outcome.code is None else "CRASH"), f"after {outcome.seconds} s"
    if "Traceback (most recent call last)" in outcome.err:
        return "TRACEBACK", None
    if outcome.code:
        errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
        after = hashes(folder)
        changed = [file for file, digest in before.items() if file != name and after.get(file) != digest]
        if outcome.code != 2 or len(errors) != 1:
            return "WRONG ERROR", f"exit {outcome.code} with {len(errors)} lines of error"
        return ("OVERWRITTEN", changed[:5]) if changed else ("one line of error", None)
    new_lines = set(outcome.err.splitlines()) - set(expected["outcome"].err.splitlines())
    messages = [line for line in new_lines if _SAID.search(line) or Path(name).name in line]
    if command in _READERS:
        messages += [line for line in map(str, got["said"]) if re.search(r"not readable|damage|checksum|missing", line)]
    differ = differences(expected["said"], got["said"]) + differences(expected["made"], got["made"])
    if command not in _READERS:
        states = expected["state"], state_of(folder, bench.log("state"))
        if command != "resume":  # it may write numbers, but no arrays, and does not restore the damaged file
            files = lambda state: {n: v for n, v in state.items() if "." in n and n != name}
            states = files(states[0]), files(states[1])
        differ += differences(*states)
    old_snapshot = name.startswith("snapshots/") and not name.startswith(_last_snapshot(expected))
    if messages and command == "resume" and old_snapshot:
        # Training has passed this snapshot and cannot write it again; all else must equal the uninterrupted run.
        differ = [
            difference for difference in differ if not difference.startswith(f"/{'/'.join(name.split('/')[:2])}/")
        ]
    if not differ:
        return ("last good state, said so" if messages else "same output"), None
    if messages and command != "resume":
        return "last good state, said so", None
    return ("OTHER NUMBERS" if messages else "SILENT"), differ[:4]


def _last_snapshot(expected: dict[str, Any]) -> str:
    """Prefix of the names of files in the snapshot after the last step."""
    steps = [int(found[1]) for name in expected["state"] if (found := re.match(r"snapshots/step-(\d+)/", name))]
    return f"snapshots/step-{max(steps)}/"


def damage_cases(bench: Bench, recipes: Sequence[str], seed: int, quick: int = 0) -> Iterator[Case]:
    """Yields damages of every file of a finished and an unfinished run of each recipe; `quick` of them if not 0."""
    cases, turn = [], 0
    for recipe in recipes:
        for which in ("finished", "unfinished"):
            for name in files_of(getattr(bench.references[recipe], which)):
                # Unfinished runs of the slower recipes differ little from finished runs: each file in one way.
                one = quick or (which == "unfinished" and recipe != "vae")
                ways = [turn % len(WAYS)] if one else range(len(WAYS))
                commands = {
                    WAYS[way]: commands_for(recipe, name, way, turn // len(WAYS) if one else turn) for way in ways
                }
                run = partial(damaged, recipe, which, name, commands, seed)
                shown = re.sub(r"[0-9a-f]{32}", lambda match: match[0][:4], name)
                cases.append(Case("damage", f"damage/{recipe}/{which}/{shown}", run))
                turn += 1
    if quick:
        cases = random.Random(seed).sample(cases, min(quick, len(cases)))
    yield from cases


def random_damages(bench: Bench, recipes: Sequence[str], count: int, seed: int) -> Iterator[Case]:
    """Yields damages with random files, ways and commands."""
    rng = random.Random(f"{seed} damages")
    for i in range(count):
        recipe, which = rng.choice(list(recipes)), rng.choice(("finished", "unfinished"))
        name = rng.choice(files_of(getattr(bench.references[recipe], which)))
        way, command = rng.choice(("cut", "flipped", "flipped")), rng.choice(("resume", *LOADERS, *_READERS))
        run = partial(damaged, recipe, which, name, {way: [command]}, rng.randrange(2**32))
        yield Case("random damage", f"random/{seed}/damage {i}: {recipe} {which} {name} {way} {command}", run)
