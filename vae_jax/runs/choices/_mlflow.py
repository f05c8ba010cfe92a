"""MLflow as the logger of a run."""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vae_jax.runs.choices._logger import Logger, each_epoch_once, read_note, run_name, write_note
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.progress import say
from vae_jax.runs.reporting.formatting import setting
from vae_jax.training import Row

# Defaults of environment variables.
_ENVIRONMENT = {
    # With MLflow's own defaults, training would wait minutes for a server.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_MOST_METRICS, _MOST_PARAMS = 1000, 100  # in one request
_SECONDS_BETWEEN_ATTEMPTS = 60.0


def mlflow_logger(folder: RunFolder, config: Mapping[str, Any]) -> Logger:
    """Logs to a run of MLflow, with the configuration as its parameters and the epoch as the step.

    The id of the MLflow run is saved in RUN/mlflow, so that a resumed run continues it. Metrics of several models have
    names such as validation/elbo/seed-3. Server and experiment are set by the environment variables MLFLOW_TRACKING_URI
    (default: a database in RUN/mlflow) and MLFLOW_EXPERIMENT_NAME (default: vae_jax).
    """
    run = _Run(folder, config)
    return Logger(run.log, run.close)


def import_package(package: str = "mlflow") -> Any:
    """Imports a package of MLflow, configured to wait only seconds for a server and to print nothing on stdout.

    Raises:
      ImportError: the package is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    return importlib.import_module(package)


def check_mlflow() -> None:
    """Checks that the tracking server, if the environment names one, can be used.

    Raises:
      ValueError: the server does not answer, or the experiment was deleted.
    """
    if not (uri := os.environ.get("MLFLOW_TRACKING_URI")):
        return
    mlflow = import_package()
    try:
        experiment = mlflow.MlflowClient(uri).get_experiment_by_name(_experiment_name())
    except mlflow.MlflowException as error:
        raise ValueError(
            f"--log mlflow: MLFLOW_TRACKING_URI={_without_account(uri)} cannot be used ({_in_a_line(error)}): start "
            "the server, or unset the variable to log into the run folder"
        ) from None
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise ValueError(
            f"--log mlflow: the experiment {experiment.name} was deleted: restore it, or set MLFLOW_EXPERIMENT_NAME"
        )


class _Run:
    """Run of MLflow, which is begun or continued when an epoch is logged.

    If the server does not answer, training continues, and the epochs are logged later.
    """

    def __init__(self, folder: RunFolder, config: Mapping[str, Any]):
        self._path = folder.path / "mlflow"
        self._name = run_name(folder)
        self._params = {name: setting(value) for name, value in config.items()}
        self._mlflow = import_package()
        self._rows: Sequence[Row] = ()
        self._end: Callable[[str], None] = lambda status: None
        self._send: Callable[[Sequence[Row]], None] | None = None  # None before the first attempt, and after a failure
        self._next_attempt = 0.0  # by time.monotonic()

    def log(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        if time.monotonic() >= self._next_attempt:
            self._attempt()

    def close(self, complete: bool) -> None:
        if self._send is None and self._rows:
            self._attempt()
            if self._send is None:
                say("--log mlflow: to log the missing epochs, repeat the command with --run-dir and --resume")
        if self._send is None:
            return
        try:
            self._end("FINISHED" if complete else "KILLED")
        except Exception as error:
            say(f"--log mlflow: the end of the run could not be logged ({_in_a_line(error)})")

    def _attempt(self) -> None:
        try:
            if self._send is None:
                self._send = self._begin()
            self._send(self._rows)
        except Exception as error:  # a store may raise anything: sqlalchemy's OperationalError if its disk is full
            self._send, self._next_attempt = None, time.monotonic() + _SECONDS_BETWEEN_ATTEMPTS
            say(f"--log mlflow: the last epochs could not be logged yet ({_in_a_line(error)})")

    def _begin(self) -> Callable[[Sequence[Row]], None]:
        from mlflow.entities import Metric, Param

        self._path.mkdir(exist_ok=True)
        logged = read_note(self._path)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        database = str(self._path.resolve() / "mlflow.db").replace("%", "%25").replace("?", "%3F")
        client = self._mlflow.MlflowClient(uri or f"sqlite:///{database}")
        run = self._found(client, logged.get("id"))
        if run is None:
            experiment = client.get_experiment_by_name(_experiment_name())
            files = None if uri else (self._path.resolve() / "artifacts").as_uri()
            number = experiment.experiment_id if experiment else client.create_experiment(_experiment_name(), files)
            run = client.create_run(number, run_name=self._name)
        else:
            client.update_run(run.info.run_id, status="RUNNING")
        run_id = run.info.run_id
        # In each epoch the metric "epoch" is written last, so it is more reliable than the note.
        logged |= {"id": run_id, "epoch": int(run.data.metrics.get("epoch", 0))}
        write_note(self._path, logged)
        params = [Param(name, value) for name, value in self._params.items() if name not in run.data.params]
        for start in range(0, len(params), _MOST_PARAMS):
            client.log_batch(run_id, params=params[start : start + _MOST_PARAMS])
        waiting: dict[int, dict[str, float]] = {}

        def write(epoch: int, series: str, numbers: Mapping[str, float]) -> None:
            named = {_allowed(f"{name}/{series}" if series else name): value for name, value in numbers.items()}
            waiting.setdefault(epoch, {}).update(named)

        def flush() -> None:
            now = int(1000 * time.time())
            metrics = [
                Metric(name, value, now, epoch)
                for epoch, numbers in waiting.items()
                for name, value in (numbers | {"epoch": float(epoch)}).items()
            ]
            waiting.clear()
            for start in range(0, len(metrics), _MOST_METRICS):
                client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])

        self._end = lambda status: client.set_terminated(run_id, status)
        return each_epoch_once(self._path, logged, write, flush)

    def _found(self, client: Any, run_id: str | None) -> Any:
        """Run that was begun earlier; None if there is none, or it was deleted."""
        if run_id is None:
            return None
        try:
            run = client.get_run(run_id)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            run = None
        if run is None or run.info.lifecycle_stage == "deleted":
            say(f"--log mlflow: the run {run_id} does not exist any more: all epochs are logged to a new run")
            return None
        return run


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "vae_jax"


def _allowed(name: str) -> str:
    """Name of a metric without characters that MLflow refuses, such as the + of 1e+06."""
    return re.sub(r"[^/\w.\- :]", "", name)


def _in_a_line(error: Exception) -> str:
    """Cause of an error of MLflow, taken from its message, in one line."""
    cause = " ".join(str(error).split()).rpartition("(Caused by ")[2]
    inner = re.sub(r"""^\w+\(["']|["']\)+$""", "", cause)
    return _without_account(inner)[:200]


def _without_account(text: str) -> str:
    """Text without the name and password in its addresses."""
    return re.sub(r"//[^/@\s]*@", "//", text)
