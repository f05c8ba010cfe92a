"""Bad settings of `start`, and runs of a single process; runs of two processes are in `test_two_processes.py`."""

import os
import socket
import subprocess
import sys

import pytest

from training.subprocesses import environment
from vae_jax.runs.processes import check_same, ending_together
from vae_jax.training.distributed import from_all, from_writer, is_writer, start


@pytest.mark.parametrize(
    "coordinator", ["localhost", ":1234", "localhost:", "localhost:http", "localhost:0", "h:65536"]
)
def test_an_address_that_is_none_is_refused(coordinator):
    with pytest.raises(
        ValueError, match=f"coordinator must be HOST:PORT, such as localhost:12345, got '{coordinator}'"
    ):
        start(coordinator, 2, 0)


def test_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_processes must be at least 1, got 0"):
        start("localhost:1234", 0, 0)
    for process_id in (-1, 2):
        with pytest.raises(ValueError, match=f"process_id must be between 0 and 1, got {process_id}"):
            start("localhost:1234", 2, process_id)


def test_a_port_that_is_taken_is_refused_by_process_0():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=f"localhost:{port}: process 0 cannot listen on port {port} .*in use"):
            start(f"localhost:{port}", 1, 0)


def test_a_coordinator_that_does_not_answer_is_refused_in_time():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ValueError, match=rf"no answer from coordinator localhost:{port} within 0.1 s \(.*refused"):
        start(f"localhost:{port}", 2, 1, answer_seconds=0.1)


@pytest.mark.slow
def test_where_no_cluster_is_detected_the_message_says_what_to_do():
    program = "from vae_jax.training.distributed import start_detected; start_detected()"
    clean = {n: v for n, v in environment().items() if not n.startswith(("SLURM", "OMPI", "KUBERNETES", "JAX_COORD"))}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ValueError: JAX detects no cluster (Slurm, Open MPI, Cloud TPU, Kubernetes) in this process's environment: "
        "give coordinator, num_processes and process_id instead (coordinator_address should be defined.)"
    )


@pytest.mark.slow
def test_a_slurm_task_meets_the_others_of_its_step_by_what_slurm_says():
    program = (
        "import jax; from vae_jax.training.distributed import start_detected; start_detected();"
        "print(jax.process_count(), jax.process_index())"
    )
    slurm = {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_NODES": "1",
    }
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment() | slurm | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    said = [task.communicate(timeout=60)[0].split() for task in tasks]
    assert [words[-2:] for words in said] == [["2", "0"], ["2", "1"]]


def test_a_single_process_writes_and_agrees_with_itself():
    assert is_writer()
    assert from_writer({"name": "run", "numbers": [1, 2.5, None]}) == {"name": "run", "numbers": [1, 2.5, None]}
    assert from_all([True, 2.5]) == [[True, 2.5]]
    check_same({"batch_size": 128})


@pytest.mark.parametrize("error", [ValueError("its own"), SystemExit(2), KeyboardInterrupt()])
def test_what_a_single_process_raises_is_left_alone(error):
    with pytest.raises(type(error)) as raised, ending_together():
        raise error
    assert raised.value is error
