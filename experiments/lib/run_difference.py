"""Comparison of two run folders of one command: numbers of their summaries and metrics, arrays of their models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

_NOT_COMPARED = ("seconds", "device", "versions")  # times and machine
Numbers = Mapping[str, np.ndarray]


class Difference(NamedTuple):
    """Difference between two runs."""

    numbers: int  # count of numbers and arrays that both runs have
    equal_bits: bool  # True if all of them have equal bits
    largest: float  # largest relative difference, max |a - b| / max(|a|, |b|) over an array
    where: str  # name of the number or array with the largest difference
    missing: tuple[str, ...]  # numbers that the second run lacks
    added: tuple[str, ...]  # numbers that the first run lacks


def numbers_of(folder: Path) -> dict[str, np.ndarray]:
    """Numbers of every summary.json and metrics.jsonl below a run folder, and parameters of its last saved models.

    Names begin with the file's path in the folder. Times, device and versions are left out.

    Raises:
      FileNotFoundError: if the folder holds no summary.json: the run has not finished.
    """
    found = dict(_leaves("summary.json", json.loads((folder / "summary.json").read_text())))
    for path in sorted(folder.rglob("metrics.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found |= _leaves(str(path.relative_to(folder)), rows)
    for path in sorted({path.parent.parent for path in folder.rglob("best") if path.is_dir()}):
        newest = max((child for child in path.iterdir() if child.name.isdigit()), key=lambda child: int(child.name))
        found |= _arrays(str(path.relative_to(folder)), newest / "best")
    return found


def difference(first: Numbers, second: Numbers) -> Difference:
    """Difference between the numbers of two runs; NaN equals NaN, and different shapes differ by infinity."""
    both = [name for name in first if name in second]
    sizes = {name: relative_difference(first[name], second[name]) for name in both}
    where = max(both, key=lambda name: sizes[name], default="")
    return Difference(
        len(both),
        all(first[name].dtype == second[name].dtype and sizes[name] == 0 for name in both),
        sizes.get(where, 0.0),
        where,
        tuple(name for name in first if name not in second),
        tuple(name for name in second if name not in first),
    )


def scores_of(old: Numbers, new: Numbers) -> dict[str, list[list[float]]]:
    """Median and range over seeds of each score, at the old and at the new commit."""
    start, end = "summary.json/over_seeds/", "/median"
    names = [n[len(start) : -len(end)] for n in old if n.startswith(start) and n.endswith(end) and n in new]
    spread = lambda side, name: [float(side[f"{start}{name}/{part}"]) for part in ("median", "min", "max")]
    return {name: [spread(old, name), spread(new, name)] for name in names}


def overlaps(scores: Mapping[str, list[list[float]]]) -> dict[str, bool]:
    """Returns, for each score of `scores_of`, True if the ranges over seeds of the two commits overlap."""
    return {name: max(old[1], new[1]) <= min(old[2], new[2]) for name, (old, new) in scores.items()}


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Relative difference max |a - b| / max(|a|, |b|), maxima over the arrays; infinite if their shapes differ."""
    if a.shape != b.shape:
        return np.inf
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    largest = np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max())
    return float(largest) if np.isfinite(largest) else np.inf


def _leaves(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the numbers of a JSON-like value with their paths; null becomes NaN, and strings are left out."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            if not any(word in key for word in _NOT_COMPARED):
                yield from _leaves(f"{name}/{key}", child)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaves(f"{name}/{index}", child)
    elif not isinstance(value, str):
        yield name, np.asarray(np.nan if value is None else value)


def _arrays(name: str, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the arrays of one item of a checkpoint with their paths."""
    import orbax.checkpoint as ocp

    tree = ocp.StandardCheckpointHandler().restore(path.resolve(), args=ocp.args.StandardRestore())
    for path_in_tree, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield name + jax.tree_util.keystr(path_in_tree), np.asarray(leaf)
