"""Metrics beside metrics.jsonl, read back from the files of TensorBoard and Weights & Biases, and MLflow's database."""

import importlib.util
import json
import shutil
import socket
import struct
import sys
import time
import zlib
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from runs.commands import command, lines_of
from vae_jax import mlp_vae, objectives
from vae_jax.runs.choices import _mlflow
from vae_jax.runs.choices.loggers import LOGGERS, check_logger
from vae_jax.runs.fitting import in_folder
from vae_jax.runs.fitting.in_folder import train_in_folder
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.training import fit

pytestmark = pytest.mark.usefixtures("in_an_empty_folder", "without_figures")
needs_wandb = pytest.mark.skipif(
    not importlib.util.find_spec("wandb"), reason='wandb is large: pip install "vae_jax[wandb]" to test it'
)
needs_mlflow = pytest.mark.skipif(
    not importlib.util.find_spec("mlflow"), reason='MLflow brings 40 packages: pip install "vae_jax[mlflow]" to test it'
)
# SQLAlchemy warns about calls that MLflow makes, which we cannot change.
with_its_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def tensorboard_events(folder):
    """(tag, epoch, value) in the event files of a folder, as TensorBoard reads them: what is purged is left out."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import masked_crc32c

    events = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            record = data[place + 12 : place + 12 + length]
            assert struct.unpack_from("<I", data, place + 12 + length)[0] == masked_crc32c(record)
            event = Event.FromString(record)
            place += 16 + length
            if event.session_log.status == SessionLog.START:
                events = [each for each in events if each[1] < event.step]
            events += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return events


def wandb_history(folder):
    """(name, step, value) in the transaction logs of all sessions, the ids of their runs, and their configurations."""
    from wandb.proto.wandb_internal_pb2 import Record

    history, ids, configs = [], [], []
    for path in sorted(Path(folder).glob("*-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime):
        data, place, parts = path.read_bytes(), 7, b""
        # LevelDB's log: blocks of 32 KiB, each record with its checksum, length and kind (1 whole, 2 to 4 in parts).
        while place < len(data):
            if 32768 - place % 32768 < 7:
                place += 32768 - place % 32768
                continue
            checksum, length, kind = struct.unpack_from("<IHB", data, place)
            body = data[place + 7 : place + 7 + length]
            assert checksum == zlib.crc32(bytes([kind]) + body)
            place, parts = place + 7 + length, parts + body
            if kind in (1, 4):
                record, parts = Record.FromString(parts), b""
                if record.HasField("run"):
                    ids.append(record.run.run_id)
                    configs.append({item.key: json.loads(item.value_json) for item in record.run.config.update})
                for item in record.history.item:
                    name = item.key or "/".join(item.nested_key)
                    if not name.startswith("_"):
                        history.append((name, record.history.step.num, json.loads(item.value_json)))
    return history, ids, configs


def mlflow_runs(folder):
    """(run, sorted (name, step, value) of all that was logged to it) of each run in the database in the folder."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path(folder).resolve()}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("vae_jax").experiment_id])
    histories = (
        [m for name in run.data.metrics for m in client.get_metric_history(run.info.run_id, name)] for run in runs
    )
    return [
        (run, sorted((m.key, m.step, m.value) for m in history if m.key != "epoch"))
        for run, history in zip(runs, histories, strict=True)
    ]


def numbers_of(rows, name=lambda row, metric: metric):
    """Contents that a logger should have for the rows of metrics.jsonl."""
    return sorted(
        (name(row, metric), int(row["epoch"]), np.float32(value))
        for row in rows
        for metric, value in row.items()
        if metric not in ("epoch", "seed", "seconds") and value is not None
    )


def as_float32(events):
    return sorted((name, step, np.float32(value)) for name, step, value in events)


def trained(monkeypatch, kind, interrupted_at=None, every_seconds=1e9):
    """The run in the folder `run`, trained for 4 epochs or until the interruption."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (30, 2, 2, 1)).astype(np.float32)
    begin = partial(
        fit, mlp_vae((2, 2, 1), 1, hidden=(2,)), objectives.negative_elbo, optax.adam(1e-2), images[:20], images[20:],
        jax.random.key(0), epochs=4, batch_size=10,
    )  # fmt: skip
    folder, config = RunFolder(Path("run")), {"experiment": "vae", "hidden": [2]}
    if not folder.exists():
        folder.create(config)

    def show(self, rows):
        if rows[0]["epoch"] == interrupted_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, ProgressDisplay(4) as display:
        patch.setattr(ProgressDisplay, "show", show)
        patch.setattr(in_folder, "OrbaxCheckpoints", partial(in_folder.OrbaxCheckpoints, every_seconds=every_seconds))
        arguments = folder, config, display, jax.random.key(0), time.monotonic(), begin
        if interrupted_at is None:
            train_in_folder(*arguments, log=LOGGERS[kind].build)
        else:
            with pytest.raises(KeyboardInterrupt):
                train_in_folder(*arguments, log=LOGGERS[kind].build)


@pytest.mark.slow
# Of four epochs: stopped in the second without a checkpoint, so that two are trained again, or with one of each.
@pytest.mark.parametrize("every_seconds", [1e9, 0.0])
def test_tensorboard_has_every_number_of_a_resumed_run_once(monkeypatch, every_seconds):
    trained(monkeypatch, "tensorboard", interrupted_at=2, every_seconds=every_seconds)
    before = as_float32(tensorboard_events("run/tensorboard"))
    assert before == numbers_of(lines_of("run/metrics.jsonl"))
    assert {epoch for _, epoch, _ in before} == {1, 2}
    trained(monkeypatch, "tensorboard", every_seconds=every_seconds)
    rows = lines_of("run/metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert as_float32(tensorboard_events("run/tensorboard")) == numbers_of(rows)
    assert {"train/loss", "validation/elbo"} <= {name for name, _, _ in before}
    # A finished run that is resumed writes nothing more, except what is missing.
    trained(monkeypatch, "tensorboard")
    assert as_float32(tensorboard_events("run/tensorboard")) == numbers_of(rows)
    shutil.rmtree("run/tensorboard")
    trained(monkeypatch, "tensorboard")
    assert as_float32(tensorboard_events("run/tensorboard")) == numbers_of(rows)


@pytest.mark.slow
def test_what_was_written_by_a_process_that_was_killed_before_it_noted_it_is_purged(monkeypatch):
    trained(monkeypatch, "tensorboard", interrupted_at=3)
    note = Path("run/tensorboard/logged.json")
    assert json.loads(note.read_text()) == {"epoch": 3}
    note.write_text('{"epoch": 2}')
    trained(monkeypatch, "tensorboard")
    assert as_float32(tensorboard_events("run/tensorboard")) == numbers_of(lines_of("run/metrics.jsonl"))


@pytest.mark.slow
def test_a_run_that_was_begun_without_a_logger_is_logged_whole(monkeypatch):
    trained(monkeypatch, "none", interrupted_at=2, every_seconds=0.0)
    assert not Path("run/tensorboard").exists()
    trained(monkeypatch, "tensorboard")
    assert as_float32(tensorboard_events("run/tensorboard")) == numbers_of(lines_of("run/metrics.jsonl"))


def test_only_the_process_that_writes_logs(monkeypatch):
    monkeypatch.setattr(in_folder, "is_writer", lambda: False)
    trained(monkeypatch, "tensorboard")
    assert not Path("run/tensorboard").exists()


@needs_wandb
def test_weights_and_biases_has_every_number_of_a_resumed_run_once_in_one_run(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    trained(monkeypatch, "wandb", interrupted_at=2)
    assert {step for _, step, _ in wandb_history("run/wandb")[0]} == {1, 2}
    time.sleep(1.1)  # its folders are named by the second
    trained(monkeypatch, "wandb")
    history, ids, configs = wandb_history("run/wandb")
    assert as_float32(history) == numbers_of(lines_of("run/metrics.jsonl"))
    assert len(ids) == 2
    assert set(ids) == {json.loads(Path("run/wandb/logged.json").read_text())["id"]}
    assert all(config["hidden"] == [2] for config in configs)


@needs_wandb
def test_weights_and_biases_without_a_key_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    with pytest.raises(ValueError, match="run `wandb login`, or set WANDB_MODE=offline"):
        check_logger("wandb")


def in_the_run_folder(monkeypatch):
    """MLflow logs where it does by default."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


@pytest.mark.slow
@needs_mlflow
@with_its_warnings
def test_mlflow_has_every_number_of_a_resumed_run_once_in_one_run(monkeypatch, capfd):
    in_the_run_folder(monkeypatch)
    trained(monkeypatch, "mlflow", interrupted_at=3)
    ((run, history),) = mlflow_runs("run/mlflow")
    assert (run.info.status, {step for _, step, _ in history}) == ("KILLED", {1, 2, 3})
    # A process that is killed may have noted less than it has logged.
    note = Path("run/mlflow/logged.json")
    assert json.loads(note.read_text()) == {"epoch": 3, "id": run.info.run_id}
    note.write_text(json.dumps({"epoch": 1, "id": run.info.run_id}))
    trained(monkeypatch, "mlflow")
    ((run, history),) = mlflow_runs("run/mlflow")
    rows = lines_of("run/metrics.jsonl")
    assert history == sorted(
        (name, row["epoch"], value) for row in rows for name, value in row.items() if name not in ("epoch", "seconds")
    )
    assert {step for _, step, _ in history} == {1, 2, 3, 4}
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params == {"experiment": "vae", "hidden": "2"}
    assert capfd.readouterr().out == ""


@needs_mlflow
@with_its_warnings
def test_mlflow_keeps_models_apart_and_gets_later_what_its_server_missed(monkeypatch, capsys):
    in_the_run_folder(monkeypatch)
    monkeypatch.setattr(_mlflow, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    folder = RunFolder(Path("run"))
    folder.create({})
    rows = [
        {"epoch": epoch, "seed": seed, "beta": beta, "train/loss": epoch + seed / 8 + beta, "validation/elbo": np.nan}
        for epoch in (1, 2, 3)
        for seed in (0, 1)
        for beta in (0.5, 1e6)
    ]
    logger = LOGGERS["mlflow"].build(folder, {})
    logger.log(rows[:4])
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_batch", unreachable)
        logger.log(rows[:8])
    assert capsys.readouterr().err == "--log mlflow: the last epochs could not be logged yet (no route)\n"
    logger.log(rows)
    logger.close(True)
    ((_, history),) = mlflow_runs("run/mlflow")
    names = {0.5: "beta-0.5", 1e6: "beta-1e06"}
    assert history == sorted(
        (f"train/loss/seed-{row['seed']}-{names[row['beta']]}", row["epoch"], row["train/loss"]) for row in rows
    )


def unreachable(*arguments, **named):
    from mlflow import MlflowException

    raise MlflowException("API request failed (Caused by no route")


@needs_mlflow
def test_a_tracking_server_of_mlflow_that_does_not_answer_is_refused_soon(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and answers nothing
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # of 7 s; by default MLflow asks eight times
        began = time.monotonic()
        code, out, error = command(monkeypatch, capsys, "vae", "--run-dir run --log mlflow")
    assert time.monotonic() - began < 15
    assert (code, out, len(error.splitlines())) == (2, "", 1)
    assert f"--log mlflow: MLFLOW_TRACKING_URI=http://127.0.0.1:{port} cannot be used" in error
    assert "secret" not in error
    assert not Path("run").exists()


@pytest.mark.slow
def test_the_models_of_one_command_are_told_apart(monkeypatch, capsys):
    code, _, _ = command(monkeypatch, capsys, "vae", "--run-dir run --seeds 2 --log tensorboard --nll-samples 0")
    assert code == 0
    rows = lines_of("run/metrics.jsonl")
    assert [(row["epoch"], row["seed"]) for row in rows] == [(e, s) for e in (1, 2, 3) for s in (0, 1)]
    for seed in (0, 1):
        own = [row for row in rows if row["seed"] == seed]
        assert as_float32(tensorboard_events(f"run/tensorboard/seed-{seed}")) == numbers_of(own)
    assert "log" not in json.loads(Path("run/config.json").read_text())


@pytest.mark.parametrize(
    ("kind", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_package_that_is_not_there_is_named_before_anything_is_written(monkeypatch, capsys, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, error = command(monkeypatch, capsys, "vae", f"--run-dir run --log {kind}")
    assert (code, out) == (2, "")
    assert f"--log {kind} needs the package {package}" in error
    assert error.strip().endswith(f'pip install "vae_jax[{kind}]"')
    assert len(error.splitlines()) == 1
    assert not Path("run").exists()
