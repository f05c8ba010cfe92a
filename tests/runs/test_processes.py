import os
import signal

import jax
import pytest

from vae_jax.runs import VAE, Settings
from vae_jax.runs.config import as_command, run_config
from vae_jax.runs.fitting.signals import Interrupted
from vae_jax.runs.processes import ending_together, join_processes, mesh_of


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "localhost:1234"}, "must be given together, got no --num-processes and no --process-id"),
        ({"num_processes": 2, "process_id": 0}, "must be given together, got no --coordinator"),
        (
            {"distributed": True, "process_id": 0},
            "--distributed detects the processes itself: leave --coordinator, --num-proc",
        ),
        ({"coordinator": "here", "num_processes": 2, "process_id": 0}, "coordinator must be HOST:PORT"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        join_processes(Settings(**given))


def test_without_flags_there_is_nothing_to_join_and_no_mesh():
    join_processes(Settings())
    assert mesh_of(Settings()) is None
    assert mesh_of(Settings(devices=1, batch_size=8)).size == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devices": 2}, "--devices 2: num_devices must be between 1 and the 1 that JAX finds, got 2"),
        ({"devices": 0}, "--devices 0: num_devices must be between 1 and the 1"),
        ({"devices": 1, "seeds": 2}, "--seeds must be 1 on several devices, which train one model at a time, got 2"),
    ],
)
def test_devices_that_cannot_train_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        mesh_of(Settings(**given))


def test_devices_and_processes_are_no_part_of_what_a_run_computes():
    settings = Settings(devices=4, distributed=True, coordinator="h:1", num_processes=2, process_id=1)
    assert run_config(VAE, settings) == run_config(VAE, Settings())
    assert as_command(VAE, settings) == "vae-jax train vae"


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (Interrupted(signal.SIGTERM), 143), (SystemExit(2), 2), (RuntimeError("a fault"), 1)],
    ids=["Ctrl-C", "SIGTERM", "bad input", "a fault"],
)
def test_one_of_several_processes_ends_at_once_with_the_exit_code_of_its_error(monkeypatch, capsys, error, code):
    ended = []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(os, "_exit", ended.append)
    with ending_together():
        raise error
    assert ended == [code]
    assert ("this process of the run has failed (a fault)" in capsys.readouterr().err) == (code == 1)
