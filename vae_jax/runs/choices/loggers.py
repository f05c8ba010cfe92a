"""Loggers of metrics beside `metrics.jsonl`, by name: TensorBoard's event files, Weights & Biases, MLflow."""

from __future__ import annotations

import dataclasses
import importlib
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from vae_jax.runs.choices._choice import Axis, Choice
from vae_jax.runs.choices._logger import Logger, each_epoch_once, read_note, run_name, write_note
from vae_jax.runs.choices._mlflow import check_mlflow, import_package, mlflow_logger
from vae_jax.runs.folder import RunFolder

MakeLogger = Callable[[RunFolder, Mapping[str, Any]], Logger]  # (run folder, its configuration)


@dataclasses.dataclass(frozen=True)
class LoggerChoice(Choice):
    """A logger; `build` takes the run folder and its configuration."""

    packages: tuple[str, ...] = ()  # packages that must be installed
    load: Callable[[str], Any] = importlib.import_module  # imports one of them
    check: Callable[[], None] = lambda: None  # raises ValueError if nothing can be logged from here


def no_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Writes nothing."""
    return Logger(lambda rows: None, lambda complete: None)


def tensorboard_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Event files in RUN/tensorboard, the epoch as the step; of several models each in a folder of its own there.

    TensorBoard shows those folders as runs, their curves in one picture.
    """
    from tensorboardX import SummaryWriter

    path = folder.path / "tensorboard"
    logged = read_note(path)
    # TensorBoard forgets the rows that a killed process wrote after its last note.
    purge = logged["epoch"] + 1 if logged["epoch"] else None
    # TensorBoard names files by the second: two processes of the same second need different suffixes.
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

    def close(complete: bool) -> None:
        for writer in writers.values():
            writer.close()

    return Logger(each_epoch_once(path, logged, write, flush), close)


def wandb_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """A run of Weights & Biases, its files in RUN/wandb, the epoch as the step.

    Its id is kept there, so that a resumed run goes on in it. Of several models the metrics are named apart:
    validation/elbo/seed-3. Project, account and mode are those of the environment (WANDB_PROJECT, by default vae_jax).
    """
    import wandb

    path = folder.path / "wandb"
    logged = read_note(path)
    logged.setdefault("id", uuid.uuid4().hex[:12])
    write_note(path, logged)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "vae_jax"),
        name=run_name(folder),
        id=logged["id"],
        resume="allow",
        config=dict(config),
        dir=str(folder.path),
        # The last line on stdout is the run's own.
        settings=wandb.Settings(console="off"),
    )

    def write(epoch: int, series: str, numbers: Mapping[str, float]) -> None:
        run.log({f"{name}/{series}" if series else name: value for name, value in numbers.items()}, step=epoch)

    return Logger(each_epoch_once(path, logged, write, lambda: None), lambda complete: run.finish())


def _check_wandb() -> None:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    import wandb

    advice = "run wandb login, or set WANDB_MODE=offline to log to files alone"
    try:
        logged_in = wandb.login(prompt=False)
    except wandb.errors.Error as error:
        raise ValueError(f"--log wandb: {str(error).rstrip('.')}; {advice}") from None
    if not logged_in:
        raise ValueError(f"--log wandb finds no key of an account: {advice}")


LOGGERS = Axis(
    "log",
    LoggerChoice("none", no_logger, "metrics.jsonl alone"),
    LoggerChoice(
        "tensorboard",
        tensorboard_logger,
        "event files of TensorBoard, in RUN/tensorboard",
        packages=("tensorboardX",),
    ),
    LoggerChoice("wandb", wandb_logger, "run of Weights & Biases", packages=("wandb",), check=_check_wandb),
    LoggerChoice(
        "mlflow",
        mlflow_logger,
        "run of MLflow, by default in RUN/mlflow",
        packages=("mlflow", "sqlalchemy", "alembic"),  # the last two keep the database in the run folder
        load=import_package,
        check=check_mlflow,
    ),
)


def check_logger(name: str) -> None:
    """Stops before anything is written if metrics cannot be logged.

    Raises:
      ValueError: a package is not installed, Weights & Biases has no key to log in with, or the tracking server of
        MLflow does not answer.
    """
    choice = LOGGERS[name]
    for package in choice.packages:
        try:
            choice.load(package)
        except ImportError as error:
            raise ValueError(
                f'--log {name} needs the package {package} ({error}): pip install "vae_jax[{name}]"'
            ) from None
    choice.check()
