"""Contents of a run folder in a comparable form: every number, without times and machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.lib.faults import forked

_OF_THE_MACHINE = re.compile(r"seconds|device|versions|begun|written|host")
_DRAWN_AGAIN = ("figures", "report.html", "MODEL.md", ".lock")


def without_time(value: Any) -> Any:
    """Removes the entries of JSON that differ between two runs with the same bits: seconds, devices, versions."""
    if isinstance(value, dict):
        return {name: without_time(item) for name, item in value.items() if not _OF_THE_MACHINE.search(name)}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def state_of(folder: Path, log: Path) -> dict[str, Any]:
    """Numbers of a run folder: rows, summary, settings, scores, and a digest of every array of its checkpoints.

    A part that cannot be read is replaced by its error message.
    """
    outcome = forked.call(lambda: print(json.dumps(_read(folder))), log)
    try:
        return json.loads(outcome.out)
    except json.JSONDecodeError:
        return {"unreadable": f"{outcome.code} {outcome.last_line}"}


def _read(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        inside = re.search(r"(^|/)(checkpoints|step-\d+)/", name)
        try:
            if path.name == "metrics.jsonl":
                state[name] = [without_time(json.loads(line)) for line in path.read_text().splitlines()]
            elif path.suffix == ".json" and not inside and path.name != "checksums.json":
                state[name] = without_time(json.loads(path.read_text()))
        except ValueError as error:
            state[name] = f"unreadable: {error}"
    for parent, newest in latest_checkpoints(folder):
        for item in sorted(path for path in newest.iterdir() if path.name in ("best", "last")):
            try:
                arrays = dict(_arrays(item))
            except Exception as error:
                arrays = {"unreadable": f"{type(error).__name__}: {error}"[:200]}
            state[f"{parent}/{item.name}"] = arrays
    return state


def latest_checkpoints(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields the name of each folder of numbered checkpoints, and its checkpoint with the highest number."""
    numbered: dict[Path, list[Path]] = {}
    for path in folder.rglob("*"):
        if path.name.isdigit() and path.is_dir():
            numbered.setdefault(path.parent, []).append(path)
    for parent in sorted(numbered):
        yield parent.relative_to(folder).as_posix(), max(numbered[parent], key=lambda path: int(path.name))


def _arrays(item: Path) -> Iterator[tuple[str, Any]]:
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    if not item.is_dir():
        yield "file", hashlib.sha256(item.read_bytes()).hexdigest()[:16]
        return
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.restore(item.resolve())
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array, name = np.asarray(leaf), jax.tree_util.keystr(path)
        digest = hashlib.sha256(repr((array.shape, str(array.dtype))).encode() + array.tobytes()).hexdigest()[:16]
        yield name, digest if array.size > 1 or "step" not in name else int(array.reshape(()))


def differences(expected: Any, found: Any, at: str = "") -> list[str]:
    """Differences between two states, each as a short text."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted(expected.keys() | found.keys())
        by_name = (differences(expected.get(name), found.get(name), f"{at}/{name}") for name in names)
        return [difference for found_in_name in by_name for difference in found_in_name]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [difference for i, pair in pairs for difference in differences(*pair, f"{at}/{i}")]
    return [] if expected == found else [f"{at}: {_short(found)} instead of {_short(expected)}"]


def _short(value: Any) -> str:
    return f"{len(value)} rows" if isinstance(value, list) else str(value)[:60]


def hashes(folder: Path) -> dict[str, str]:
    """Digest of every file, except those that commands draw again."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for name, path in named
        if name.split("/")[0] not in _DRAWN_AGAIN and not name.endswith(".lock")
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that a finished run has left behind."""
    names = (os.path.relpath(path, folder) for path in folder.rglob("*"))
    return [name for name in names if re.search(r"\.tmp|tmp-|\.orbax-", os.path.basename(name))]
