"""Loggers of metrics beside `metrics.jsonl`, by name: TensorBoard, Weights & Biases, MLflow."""

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
    load: Callable[[str], Any] = importlib.import_module  # imports one of the packages
    check: Callable[[], None] = lambda: None  # raises ValueError if this machine cannot log


def no_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Logger that writes nothing."""
    return Logger(lambda rows: None, lambda complete: None)


def tensorboard_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Logs to event files in RUN/tensorboard, with the epoch as the step.

    Each of several models has its own folder there, which TensorBoard shows as a run, with all curves in one picture.
    """
    from tensorboardX import SummaryWriter

    path = folder.path / "tensorboard"
    logged = read_note(path)
    # TensorBoard drops the rows that a killed process wrote after its last note.
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
    """Logs to a run of Weights & Biases, with files in RUN/wandb and the epoch as the step.

    The id of the run is saved there, so that a resumed run continues it. Metrics of several models have names such as
    validation/elbo/seed-3. Project, account and mode are set by the environment (WANDB_PROJECT; default: vae_jax).
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
        # wandb must not capture stdout, whose last line is the summary.
        settings=wandb.Settings(console="off"),
    )

    def write(epoch: int, series: str, numbers: Mapping[str, float]) -> None:
        run.log({f"{name}/{series}" if series else name: value for name, value in numbers.items()}, step=epoch)

    return Logger(each_epoch_once(path, logged, write, lambda: None), lambda complete: run.finish())


def _check_wandb() -> None:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    import wandb

    advice = "run `wandb login`, or set WANDB_MODE=offline to log to files only"
    try:
        logged_in = wandb.login(prompt=False)
    except wandb.errors.Error as error:
        raise ValueError(f"--log wandb: {str(error).rstrip('.')}; {advice}") from None
    if not logged_in:
        raise ValueError(f"--log wandb finds no API key: {advice}")


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
    """Checks that metrics can be logged, before anything is written.

    Raises:
      ValueError: a package is not installed, Weights & Biases has no API key, or the tracking server of MLflow does not
        answer.
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
