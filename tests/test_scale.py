"""Command of docs/scale.md for two processes, run as it stands, and a run with it that is killed and resumed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.subprocesses import environment, free_port

ROOT = Path(__file__).parents[1]
COMMANDS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/scale.md").read_text(), flags=re.MULTILINE | re.DOTALL)
(TWO,) = [command for command in COMMANDS if "--process-id $i" in command]

pytestmark = pytest.mark.slow


def shell(command, folder, **changes):
    """Starts the command in a folder, with this Python, a free port and the given replacements of text."""
    for old, new in {"12345": str(free_port()), **changes}.items():
        assert old in command
        command = command.replace(old, new)
    # The shell finds this `python` first.
    (folder / "bin").mkdir(exist_ok=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    own = environment()
    return subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env=own | {"PATH": f"{folder / 'bin'}:{own['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_command_for_two_processes_trains_as_one_process_does(tmp_path):
    output, errors = shell(TWO, tmp_path).communicate(timeout=120)
    assert len(output.splitlines()) == 1, errors
    summary = json.loads(output)
    # Only one process prints: one summary, one line of each kind.
    assert output.count('"negative_elbo"') == errors.count("first training step") == 1
    words = f"-m experiments.vae --epochs 5 --hidden 64 --run-dir {tmp_path / 'one'}".split()
    alone = subprocess.run([sys.executable, *words], env=environment(), capture_output=True, text=True, check=True)
    expected = json.loads(alone.stdout.splitlines()[-1])
    assert summary["steps"] == expected["steps"] == 5 * 28
    for name in ("negative_elbo", "rate", "distortion"):
        # Float32 sums are in another order, over 140 steps of Adam.
        assert summary[name] == pytest.approx(expected[name], rel=2e-4)
    metrics = (tmp_path / "runs/two/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [1, 2, 3, 4, 5]


def test_a_run_of_two_processes_that_is_killed_goes_on_with_one(tmp_path):
    run = tmp_path / "runs/two"
    both = shell(TWO, tmp_path, **{"--epochs 5": "--epochs 2000 --patience None"})
    try:
        deadline = time.monotonic() + 60
        while not any(path.name.isdigit() for path in run.glob("checkpoints/*")):
            assert both.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        pids = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "-g", str(both.pid)], capture_output=True, text=True)
        (second,) = [line.split()[0] for line in pids.stdout.splitlines() if line.endswith("--process-id 1")]
        os.kill(int(second), signal.SIGKILL)
        killed = time.monotonic()
        _, errors = both.communicate(timeout=60)
        assert time.monotonic() - killed < 10  # the collective operation of the other process fails at once
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(both.pid, signal.SIGKILL)
    assert "another process of the run has ended, and process 0 of 2 ends with it; the same command with" in errors
    rows = run / "metrics.jsonl"
    done = len(rows.read_text().splitlines())
    words = ["-m", "experiments.vae", "--resume", "--run-dir", str(run), "--epochs", str(done + 2)]
    alone = subprocess.run([sys.executable, *words], env=environment(), capture_output=True, text=True, check=True)
    assert json.loads(alone.stdout.splitlines()[-1])["epochs"] == done + 2
    assert [json.loads(line)["epoch"] for line in rows.read_text().splitlines()] == list(range(1, done + 3))
