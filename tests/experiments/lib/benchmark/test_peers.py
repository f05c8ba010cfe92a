"""The protocol between us and a peer, by scripts that this same interpreter runs."""

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


def test_a_peer_does_the_problem_when_it_is_asked(tmp_path):
    (tmp_path / "peer.py").write_text(HALVES)
    with peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {"xs": np.array([1.0, 3.0])}) as peers:
        assert peers.versions == {"peer": "1.2"}
        turns = take_turns(peers.contestants, 1)
    # The peer says as its seconds how often it had been asked.
    assert turns["half"] == (Sample(0, 5.0), [Sample(2, 5.0)])
    assert turns["double"] == (Sample(1, 11.0), [Sample(3, 11.0)])


def test_a_peer_that_stops_is_told_with_what_it_said(tmp_path):
    (tmp_path / "peer.py").write_text("import sys; sys.exit('no such layer')")
    with (
        pytest.raises(RuntimeError, match=r"the peer peer\.py stopped with exit code 1: no such layer"),
        peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {}),
    ):
        pass


def test_a_peer_that_stops_when_asked_is_told_too(tmp_path):
    (tmp_path / "peer.py").write_text(HALVES)
    with (
        peers_of(sys.executable, [tmp_path / "peer.py"], "mlp", {}) as peers,
        pytest.raises(RuntimeError, match="KeyError: 'xs'"),
    ):
        peers.contestants["half"]()


def test_what_an_interpreter_can_import():
    assert importable(sys.executable, ["json", "no_such_package"]) == ["json"]


@pytest.mark.parametrize("python", ["nowhere/python", "false", "/"])
def test_what_is_no_interpreter_is_refused(python):
    with pytest.raises(ValueError, match=f"--peer-python must be a Python interpreter, got {python}"):
        importable(python, ["json"])


def test_an_interpreter_without_peers_is_refused():
    with pytest.raises(ValueError, match="--peer-python must have one of no_such_package, and"):
        importable(sys.executable, ["no_such_package"])
