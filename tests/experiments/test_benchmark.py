"""Tests of experiments.benchmark: its command line, its files and its last line of output."""

import json
import sys
from pathlib import Path

import pytest

from experiments.lib.benchmark.work import Setup
from experiments.lib.records import read_record


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import experiments.benchmark

    yield experiments.benchmark
    sys.path.pop(0)


def run(script, monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    script.main(script.tyro.cli(script.Options))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--work", "mlp_vae", "nothing"], "--work must name workloads of mlp_vae, conv_vae, "),
        (["--devices", "64"], "--devices must be at most "),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--peers", "--precision", "bfloat16"], "--peers must run in float32 on one CPU, without --precision"),
        (["--peers", "--peer-python", "false"], "--peer-python must be a Python interpreter, got false"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(script, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        run(script, monkeypatch, arguments)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_measures_a_workload_and_writes_a_list_of_records(script, monkeypatch, capsys, tmp_path):
    # The rounds are those of a small sampling workload; the fresh starts are those of the real one.
    monkeypatch.setitem(script.WORKS, "sampling", lambda setup: sampling(Setup(batch_size=50, steps=2)))
    from experiments.lib.benchmark.inference import sampling_work as sampling

    file, record = tmp_path / "a" / "bench.json", tmp_path / "results" / "bench.json"
    arguments = ["--work", "sampling", "--rounds", "2", "--json", str(file), "--record", str(record)]
    run(script, monkeypatch, arguments)
    (measured,) = json.loads(file.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == [measured]
    assert measured["examples_per_second"] == pytest.approx(50e3 / measured["step_milliseconds"])
    assert 0.8 < measured["flops_per_step_formula"] / measured["flops_per_step"] < 1.2
    assert len(measured["step_milliseconds_rounds"]) == 2
    assert measured["seconds_to_first_step"] > 0.5  # Python and its imports alone
    assert measured["peak_memory_bytes"] > 1e8
    assert read_record(record).details["records"] == [measured]
