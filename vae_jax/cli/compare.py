"""`vae-jax compare`: the settings, numbers and curves of several runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_jax.cli.options import Compare
from vae_jax.cli.output import new_file, print_table
from vae_jax.cli.pictures import write_picture
from vae_jax.data._kinds import kind_of
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reporting.formatting import setting
from vae_jax.runs.reporting.metrics import View, metric_of, shown_in, text_of, worded
from vae_jax.text import printable
from vae_jax.visualization import compared_curves

_ABOUT = ("experiment", "data", "test_images", "test_rows", "device")


def prepare_compare(options: Compare) -> Callable[[], None]:
    if len(options.runs) < 2:
        raise ValueError(f"RUN: give the folders of two runs or more, got {len(options.runs)}")
    if len({path.resolve() for path in options.runs}) < len(options.runs):
        raise ValueError("RUN: give each folder only once")
    folders = [RunFolder(path, "RUN") for path in options.runs]
    configs = [folder.config() for folder in folders]
    summaries = [folder.summary() or {} for folder in folders]
    names = [printable(name) for name in names_of(options.runs)]
    histories = {name: folder.metrics() for name, folder in zip(names, folders, strict=True)}
    per = example_in(configs)
    try:
        # An unescaped dollar would begin a formula.
        figure = compared_curves({name.replace("$", r"\$"): rows for name, rows in histories.items() if rows}, per)
    except ValueError as error:
        raise ValueError(f"RUN: no curve can be drawn from the metrics.jsonl of these runs: {error}") from error
    output = new_file(options.output, "compare.png")

    def work() -> None:
        print_table(("", *names), comparison(configs, summaries))
        print()
        write_picture(lambda: figure, output)

    return work


def names_of(paths: Sequence[Path]) -> list[str]:
    """Shortest endings of the paths, in whole folder names, that differ from one another."""
    whole = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-count:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("paths differ")


def example_in(configs: Sequence[Mapping[str, Any]]) -> str:
    """Word for an example of these runs: image, row (of a table), or example if they differ."""
    words = {"row" if kind_of(str(config.get("data"))) == "table" else "image" for config in configs}
    return words.pop() if len(words) == 1 else "example"


def comparison(configs: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows of the table: facts about the runs, the settings that differ, and the numbers that at least one run has."""
    both = [{**config, **summary} for config, summary in zip(configs, summaries, strict=True)]
    known = [name for name in _ABOUT if any(name in about for about in both)]
    rows = [[metric_of(name).title, *(text_of(about, name) for about in both)] for name in known]
    for name in dict.fromkeys(name for config in configs for name in config):
        values = [config.get(name) for config in configs]
        if name not in _ABOUT and any(value != values[0] for value in values):
            rows.append([name, *(setting(config[name]) if name in config else "" for config in configs)])
    example = example_in(configs)
    for metric in shown_in(View.COMPARISON):
        if any(summary.get(metric.key) is not None for summary in summaries):
            rows.append([worded(metric, example).label, *(text_of(summary, metric.key) for summary in summaries)])
    return rows
