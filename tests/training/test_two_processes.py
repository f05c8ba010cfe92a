"""Two processes of one device each, on this machine: they connect, compute the results of one, and end together."""

import contextlib
import os
import signal
import time

import numpy as np
import pytest

from training.on_eight_devices import BATCH_SIZE, KEY, MODEL, OBJECTIVE, OPTIMIZER, TRAIN, VALIDATION, flat
from training.subprocesses import finish, free_port, start
from training.test_many_devices import AFTER_ADAM, CLOSE, assert_same
from vae_jax.training import init_train_state, make_evaluate, make_train_epoch, make_train_step

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def two(program, folder):
    port = free_port()
    processes = [start("-m", "training.one_of_two", program, port, 2, index, folder) for index in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_two_processes_that_read_half_of_the_data_each_train_as_one_does(tmp_path):
    with two("train", tmp_path) as processes:
        outputs = [finish(process) for process in processes]
    assert [code for _, code in outputs] == [0, 0], outputs
    with np.load(tmp_path / "0.npz") as first, np.load(tmp_path / "1.npz") as second:
        found = [dict(first), dict(second)]
    # 50 examples for two devices: halves, with none in common.
    np.testing.assert_array_equal(found[0].pop("read"), np.arange(25))
    np.testing.assert_array_equal(found[1].pop("read"), np.arange(25, 50))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value, err_msg=name)
    epoch = make_train_epoch(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), BATCH_SIZE)
    state, metrics = epoch(init_train_state(MODEL, OPTIMIZER, KEY), KEY, TRAIN)
    validation = make_evaluate(MODEL, OBJECTIVE, BATCH_SIZE)(state.params, KEY, VALIDATION)
    expected = flat("state", state) | flat("metrics", metrics) | flat("validation", validation)
    assert_same(found[0], expected, AFTER_ADAM)
    assert_same(found[0], flat("metrics", metrics) | flat("validation", validation), CLOSE)
    # From the checkpoint that both wrote.
    assert_same(found[0], flat("resumed", epoch(state, KEY, TRAIN)[0]), AFTER_ADAM)


def test_no_process_goes_on_before_the_first_has_made_the_run_folder(tmp_path):
    with two("prepare_slowly", tmp_path) as processes:
        outputs = [finish(process) for process in processes]
    assert [code for _, code in outputs] == [0, 0], outputs


def test_processes_with_different_settings_stop_and_name_them(tmp_path):
    with two("configure", tmp_path) as processes:
        outputs = [finish(process) for process in processes]
    for output, code in outputs:
        assert code == 1
        assert (
            "all processes of a run must be given the same settings, but these differ: batch_size (process 0: 64, "
            "process 1: 128), data (process 0: 'mnist', process 1: 'digits')" in output
        )


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_with_a_message(tmp_path, victim):
    with two("train_forever", tmp_path) as processes:
        steps = [tmp_path / f"{index}.steps" for index in range(2)]
        deadline = time.monotonic() + 60
        while not all(path.exists() and path.read_text() > "3" for path in steps):
            assert time.monotonic() < deadline
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.1)
        os.kill(processes[victim].pid, signal.SIGKILL)
        killed = time.monotonic()
        output, code = finish(processes[1 - victim], seconds=60)
    assert code != 0
    assert time.monotonic() - killed < 30
    # Our message, or that of JAX's runtime if it notices first that the coordinator's process has ended.
    assert (
        f"error: another process of the run has ended, and process {1 - victim} of 2 ends with it; --resume goes on "
        "from the last checkpoint (" in output
    ) or (victim == 0 and "This most likely indicates that another task died" in output), output


def test_a_process_that_fails_by_itself_says_so_and_the_other_ends_too(tmp_path):
    with two("fail", tmp_path) as processes:
        waiting, failing = (finish(process) for process in processes)
    assert failing[1] == 1
    assert "RuntimeError: a fault of its own\nerror: this process of the run has failed; --resume" in failing[0]
    assert waiting[1] != 0
    assert "another process of the run has ended" in waiting[0] or "another task died" in waiting[0], waiting[0]


def test_a_process_without_a_coordinator_says_so_in_time(tmp_path):
    process = start("-m", "training.one_of_two", "train", port := free_port(), 2, 1, tmp_path)
    started = time.monotonic()
    output, code = finish(process)
    assert code == 1
    assert time.monotonic() - started < 3 + 15  # of which most is Python's own start
    expected = f"ValueError: no answer from coordinator localhost:{port} within 3 s (Connection refused): is process 0"
    assert expected in output


def test_a_coordinator_to_which_nobody_comes_says_so_and_exits(tmp_path):
    process = start("-m", "training.one_of_two", "wait_for_nobody", port := free_port(), 2, 0, tmp_path)
    output, code = finish(process)
    assert code == 2
    assert output.splitlines()[-1] == (
        f"error: after 3 s not all of the 2 processes have connected to coordinator localhost:{port}: start one "
        "process with each process_id from 0 to 1, process 0 on the coordinator's host"
    )


def test_processes_that_disagree_on_how_many_they_are_stop(tmp_path):
    port = free_port()
    processes = [
        start("-m", "training.one_of_two", "configure", port, 2 + index, index, tmp_path) for index in range(2)
    ]
    outputs = [finish(process) for process in processes]
    assert outputs[1][1] == 1
    assert "num_processes must be the same in all processes, got 3 in process 1 and 2 in process 0" in outputs[1][0]
    assert outputs[0][1] != 0
