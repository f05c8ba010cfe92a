"""What a user sees while a run trains: a bar on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vae_jax.training.fit import Row

_SECONDS_BETWEEN_LINES = 10.0


class ProgressDisplay:
    """Shows each epoch's validation metrics; a context manager."""

    def __init__(self, epochs: int):
        self._console = Console(stderr=True)
        self._epochs = epochs
        self._last_line = float("-inf")
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("compiling", total=epochs)

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, soft_wrap=True)

    def show(self, row: Row) -> None:
        names = [name for name in ("elbo", "rate", "distortion") if f"validation/{name}" in row]
        metrics = "  ".join(f"{name} {row[f'validation/{name}']:.2f}" for name in names)
        epoch = int(row["epoch"])
        self._bar.update(self._task, completed=epoch, description=metrics)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last_line > _SECONDS_BETWEEN_LINES or epoch == self._epochs):
            self._last_line = now
            self.say(f"epoch {epoch}/{self._epochs}  {metrics}")
