"""Progress of a run on stderr: a bar on a terminal, or a line every ten seconds in a file or a pipe."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vae_jax.runs.reporting.metrics import View, shown_in
from vae_jax.text import printable, printable_lines
from vae_jax.training._history import Row
from vae_jax.training.distributed import is_writer

_SECONDS_BETWEEN_LINES = 10.0


def say(text: str) -> None:
    """Prints one or more lines on stderr, with unprintable characters escaped."""
    Console(stderr=True).print(printable_lines(text), highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Shows a moving bar with the time on a terminal, for work without countable steps; elsewhere nothing."""
    console, description = Console(stderr=True), TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar.add_task(printable(text), total=None)
        yield


class _Bar(Progress):
    """Bar that counts up to a total; a context manager."""

    def __init__(self, unit: str, total: int):
        # Only one of several processes prints.
        console = Console(stderr=True, quiet=not is_writer())
        counted, text = MofNCompleteColumn(), TextColumn("{task.description}")
        left = (TextColumn("left"), TimeRemainingColumn())
        columns = (TextColumn(unit), counted, BarColumn(bar_width=24), text, TimeElapsedColumn(), *left)
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self._unit, self._total, self._last_line = unit, total, float("-inf")
        self._task = self.add_task("compiling", total=total)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self.console.print(printable_lines(text), highlight=False, markup=False, soft_wrap=True)

    def _advance(self, done: int, description: str) -> None:
        self.update(self._task, completed=done, description=description)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._last_line > _SECONDS_BETWEEN_LINES or done == self._total):
            self._last_line = now
            self.say(f"{self._unit} {done}/{self._total}  {description}".rstrip())


class ProgressDisplay(_Bar):
    """Bar that shows the validation metrics of each epoch: means over the models whose numbers are finite."""

    def __init__(self, epochs: int):
        super().__init__("epoch", epochs)

    def show(self, rows: Sequence[Row]) -> None:
        """Shows the rows of one epoch, one for each model that was trained in it."""
        numbers, counts = [], [0]
        for metric in shown_in(View.PROGRESS):
            name = f"validation/{metric.key}"
            values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
            if values:
                numbers.append(f"{metric.heading} {metric.text(statistics.fmean(values))}")
            counts.append(len(values))
        if len(rows) > 1:
            numbers.append(f"mean of {max(counts)} models")
        self._advance(int(rows[0]["epoch"]), "  ".join(numbers))


class CountDisplay(_Bar):
    """Bar that counts the examples of one part of an evaluation."""

    def __init__(self, part: str, images: int, example: str = "image"):
        super().__init__(f"{part}: {example}", images)
        self._done = 0

    def add(self, images: int) -> None:
        self._done += images
        self._advance(self._done, "")
