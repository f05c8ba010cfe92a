"""Where metrics go beside `metrics.jsonl`: TensorBoard's event files, or Weights & Biases."""

from __future__ import annotations

import importlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from vae_jax.atomic import write_atomically
from vae_jax.experiment.progress import say
from vae_jax.runs import RunFolder, defined
from vae_jax.training import Row

LogName = Literal["none", "tensorboard", "wandb"]
# What tells the rows of one epoch apart, where a run has several models.
_OF_A_MODEL = ("seed", "beta")
_STATE = "logged.json"


class Logger(NamedTuple):
    """Where the metrics of a run go, epoch by epoch."""

    log: Callable[[Sequence[Row]], None]  # all rows of the run so far, by epoch: those of new epochs are written
    close: Callable[[], None]


MakeLogger = Callable[[RunFolder, Mapping[str, Any]], Logger]  # (run folder, its configuration)


def no_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Writes nothing."""
    return Logger(lambda rows: None, lambda: None)


def tensorboard_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Event files in RUN/tensorboard, the epoch as the step; of several models each in a folder of its own there.

    TensorBoard shows those folders as runs, their curves in one picture.
    """
    from tensorboardX import SummaryWriter

    path = folder.path / "tensorboard"
    logged = _logged(path)
    # What a process wrote after its last note of it was killed: TensorBoard forgets it.
    purge = logged["epoch"] + 1 if logged["epoch"] else None
    # Its files are named by the second, and one begun in the same would take the place of another.
    suffix = f".{uuid.uuid4().hex[:8]}"
    writers: dict[str, Any] = {}

    def write(epoch: int, series: str, numbers: Mapping[str, float]) -> None:
        if series not in writers:
            writers[series] = SummaryWriter(str(path / series), purge_step=purge, filename_suffix=suffix)
        for name, value in numbers.items():
            writers[series].add_scalar(name, value, epoch)

    def flush() -> None:
        for writer in writers.values():
            writer.flush()

    def close() -> None:
        for writer in writers.values():
            writer.close()

    return Logger(_each_epoch_once(path, logged, write, flush), close)


def wandb_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """A run of Weights & Biases, its files in RUN/wandb, the epoch as the step.

    Its id is kept there, so that a resumed run goes on in it. Of several models the metrics are named apart:
    validation/elbo/seed-3. Project, account and mode are those of the environment (WANDB_PROJECT, by default vae_jax).
    """
    import wandb

    path = folder.path / "wandb"
    logged = _logged(path)
    logged.setdefault("id", uuid.uuid4().hex[:12])
    _note(path, logged)
    place = folder.path.resolve()
    # A second stage has a folder of its own in that of its run.
    of_run = (place.parent / "config.json").exists()
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "vae_jax"),
        name=f"{place.parent.name}/{place.name}" if of_run else place.name,
        id=logged["id"],
        resume="allow",
        config=dict(config),
        dir=str(folder.path),
        # The last line on stdout is the run's own.
        settings=wandb.Settings(console="off"),
    )

    def write(epoch: int, series: str, numbers: Mapping[str, float]) -> None:
        run.log({f"{name}/{series}" if series else name: value for name, value in numbers.items()}, step=epoch)

    return Logger(_each_epoch_once(path, logged, write, lambda: None), run.finish)


LOGGERS: dict[LogName, MakeLogger] = {"none": no_logger, "tensorboard": tensorboard_logger, "wandb": wandb_logger}
assert set(LOGGERS) == set(get_args(LogName))
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_logger(name: LogName) -> None:
    """Stops before anything is written where metrics could not be logged as told.

    Raises:
      ValueError: where the package is not installed, or Weights & Biases has no key to log in with.
    """
    if name == "none":
        return
    package = _PACKAGES[name]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ValueError(f'--log {name} needs the package {package} ({error}): pip install "vae_jax[{name}]"') from None
    if name == "wandb" and os.environ.get("WANDB_MODE") not in ("offline", "disabled", "dryrun"):
        advice = "run wandb login, or set WANDB_MODE=offline to log to files alone"
        try:
            logged_in = module.login(prompt=False)
        except module.errors.Error as error:
            raise ValueError(f"--log wandb: {str(error).rstrip('.')}; {advice}") from None
        if not logged_in:
            raise ValueError(f"--log wandb finds no key of an account: {advice}")


def _each_epoch_once(
    path: Path,
    logged: dict[str, Any],
    write: Callable[[int, str, Mapping[str, float]], None],
    flush: Callable[[], None],
) -> Callable[[Sequence[Row]], None]:
    """`Logger.log` on (epoch, model, numbers), with a note in the folder of what was the last epoch.

    A resumed run trains the epochs after its last checkpoint again, in the same bits: they are not written again.
    """

    def log(rows: Sequence[Row]) -> None:
        new = [row for row in rows if row["epoch"] > logged["epoch"]]
        for row in new:
            series = "-".join(f"{name}-{row[name]:g}" for name in _OF_A_MODEL if name in row)
            numbers = {name: value for name, value in row.items() if name not in ("epoch", *_OF_A_MODEL)}
            # None stands for what is not finite.
            write(int(row["epoch"]), series, {n: v for n, v in defined(numbers).items() if v is not None})
        if new:
            flush()
            logged["epoch"] = int(new[-1]["epoch"])
            _note(path, logged)

    return log


def _logged(path: Path) -> dict[str, Any]:
    """Note in the folder about earlier processes; if it is damaged, says so and returns an empty one."""
    note = path / _STATE
    try:
        logged = json.loads(note.read_text()) if note.exists() else {"epoch": 0}
        if not isinstance(logged["epoch"], int):
            raise ValueError("it names no epoch")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(f"{note} cannot be read ({error}): all epochs are logged again")
        return {"epoch": 0}
    return logged


def _note(path: Path, logged: Mapping[str, Any]) -> None:
    path.mkdir(exist_ok=True)
    write_atomically(path / _STATE, json.dumps(logged))
