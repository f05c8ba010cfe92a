"""`vae-jax list` and `vae-jax show`: a table of runs, and the settings and numbers of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from vae_jax.checksums import NAME as CHECKSUMS
from vae_jax.cli.options import List, Show
from vae_jax.cli.output import print_table
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reporting.formatting import setting
from vae_jax.runs.reporting.metrics import NOTES, View, example_of, is_error, metric_of, shown_in, text_of, worded
from vae_jax.text import printable


def prepare_list(options: List) -> Callable[[], None]:
    if not options.folder.is_dir():
        raise ValueError(
            f"FOLDER must be a folder with runs in it, got {options.folder}, which does not exist; `vae-jax train vae` "
            "makes a run below runs/"
        )
    return lambda: _list(options)


def runs_below(folder: Path) -> Iterator[RunFolder]:
    """Run folders at any depth, sorted by the time at which they were begun, without runs inside other runs.

    A run that has lost its config.json is found by its checksums, and is listed as not readable.
    """
    marks = sorted((*folder.rglob("config.json"), *folder.rglob(CHECKSUMS)), key=lambda path: len(path.parts))
    found: list[Path] = []
    for mark in marks:
        if not any(run in mark.parents for run in found):
            found.append(mark.parent)
    yield from (RunFolder(path, "FOLDER") for path in sorted(found, key=_begun))


def _begun(run: Path) -> float:
    """Time of the last change of config.json, in seconds; if it is missing, of the file of checksums."""
    config = run / "config.json"
    return (config if config.exists() else run / CHECKSUMS).stat().st_mtime


def _list(options: List) -> None:
    rows, metrics = [], shown_in(View.LIST)
    for run in runs_below(options.folder):
        try:
            config, summary, state = run.config(), run.summary(), state_of(run)
        except ValueError as error:
            config, summary, state = {}, None, f"not readable: {error}"
        summary = summary or {}
        about = {
            "run": str(run.path),
            "experiment": config.get("experiment"),
            "data": config.get("data"),
            "state": state,
        }
        if options.json:
            print(json.dumps(about | {metric.key: summary.get(metric.key) for metric in metrics}))
        begun = datetime.fromtimestamp(_begun(run.path))
        cells = [str(value or "") for value in about.values()]
        rows.append([*cells, f"{begun:%Y-%m-%d %H:%M}", *(text_of(summary, metric.key) for metric in metrics)])
    if not options.json:
        headers = ("run", "experiment", "data", "state", "begun", *(metric.heading for metric in metrics))
        print_table(headers, rows, left=5)


def state_of(run: RunFolder) -> str:
    """State of a run: "finished", its last epoch, or the format of an export."""
    if format := run.export_format():
        return f"exported ({format})"
    if run.summary() is not None:
        return "finished"
    epochs = max((row["epoch"] for row in run.metrics()), default=0)
    return f"stopped or running, epoch {epochs}" if epochs else "begun"


def prepare_show(options: Show) -> Callable[[], None]:
    run = RunFolder(options.run, "RUN")
    config, summary, state = run.config(), run.summary(), state_of(run)
    return lambda: _show(options, run, config, summary, state)


def _show(options: Show, run: RunFolder, config: dict[str, Any], summary: dict[str, Any] | None, state: str) -> None:
    if options.json:
        print(json.dumps({"run": str(run.path), "state": state, "config": config, "summary": summary}))
        return
    print(printable(f"{run.path}: {config.get('experiment')} on {config.get('data')}, {state}") + "\n")
    print_table(("setting", ""), [[name, setting(value)] for name, value in config.items()], left=2)
    if summary:
        print()
        empty_notes = {key for key in NOTES if summary.get(key) is None}
        shown = [key for key in summary if not (isinstance(summary[key], dict | list) or is_error(key, summary))]
        example = example_of(summary)
        rows = [
            [worded(metric_of(key), example).label, text_of(summary, key)] for key in shown if key not in empty_notes
        ]
        print_table(("number", ""), rows, left=2)
    files = [
        path for path in (run.report, run.figures, run.checkpoints, run.params, run.path / "MODEL.md") if path.exists()
    ]
    print("\nfiles: " + ", ".join(printable(path) for path in files))
