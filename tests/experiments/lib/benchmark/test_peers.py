"""Tests of the protocol between the benchmark and a peer, with scripts that this interpreter runs."""

import sys

import numpy as np
import pytest

from experiments.lib.benchmark.measure import Sample, take_turns
from experiments.lib.benchmark.peers import importable, peers_of

HALVES = """
import json, sys
import numpy as np
arrays = dict(np.load(sys.argv[1]))
print(json.dumps({"contestants": ["half", "double"], "versions": {"peer": "1.2"}}), flush=True)
for turn, line in enumerate(sys.stdin):
    factor = {"half": 0.5, "double": 2.0}[line.strip()]
    print(turn, factor * arrays["xs"].sum() + len(str(arrays["work"])), flush=True)
"""


def test_a_peer_runs_a_round_on_the_problem_for_each_request(tmp_path):
    (tmp_path / "peer.py").write_text(HALVES)
    with peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {"xs": np.array([1.0, 3.0])}) as peers:
        assert peers.versions == {"peer": "1.2"}
        turns = take_turns(peers.contestants, 1)
    # The script prints the number of earlier rounds as its seconds.
    assert turns["half"] == (Sample(0, 5.0), [Sample(2, 5.0)])
    assert turns["double"] == (Sample(1, 11.0), [Sample(3, 11.0)])


def test_a_peer_that_stops_at_its_start_is_an_error_with_its_stderr(tmp_path):
    (tmp_path / "peer.py").write_text("import sys; sys.exit('no such layer')")
    with (
        pytest.raises(RuntimeError, match=r"the peer peer\.py stopped with exit code 1: no such layer"),
        peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {}),
    ):
        pass


def test_a_peer_that_stops_in_a_round_is_an_error_with_its_stderr(tmp_path):
    (tmp_path / "peer.py").write_text(HALVES)
    with (
        peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {}) as peers,
        pytest.raises(RuntimeError, match="KeyError: 'xs'"),
    ):
        peers.contestants["half"]()


def test_packages_that_an_interpreter_can_import_are_found():
    assert importable(sys.executable, ["json", "no_such_package"]) == ["json"]


@pytest.mark.parametrize("python", ["nowhere/python", "false", "/"])
def test_a_command_that_is_no_interpreter_is_refused(python):
    with pytest.raises(ValueError, match=f"--peer-python must be a Python interpreter, got {python}"):
        importable(python, ["json"])


def test_an_interpreter_without_peers_is_refused():
    with pytest.raises(ValueError, match="--peer-python must have one or more of no_such_package, but"):
        importable(sys.executable, ["no_such_package"])
