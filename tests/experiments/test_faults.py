"""Tests of the harness of experiments.faults: its damages, its verdicts and its cases."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.lib.faults.damages import LOADERS, WAYS, _judge, commands_for, damage, files_of
from experiments.lib.faults.fault_cases import counted, failure, read_lines
from experiments.lib.faults.folder_state import differences, hashes, leftovers, without_time
from experiments.lib.faults.forked import Outcome
from experiments.lib.faults.kills import kill_cases, random_kills
from experiments.lib.faults.reliability import claims_of
from experiments.lib.faults.small_runs import Event

ROOT = Path(__file__).parents[2]


def test_each_way_of_damaging_a_file_keeps_its_modification_time(tmp_path):
    path, content = tmp_path / "f", bytes(range(1, 200))
    for way in WAYS:
        path.write_bytes(content)
        os.utime(path, (1000, 1000))
        assert damage(path, way, random.Random(0)) is not None
        if way == "deleted":
            assert not path.exists()
            continue
        found = path.read_bytes()
        assert path.stat().st_mtime == 1000
        if way == "flipped":
            assert len(found) == len(content)
            assert sum((a ^ b).bit_count() for a, b in zip(found, content, strict=True)) == 1
        else:
            assert {"cut": content.startswith(found) and 0 < len(found) < len(content)}.get(way, True)
            assert {"zeroed": found == bytes(len(content)), "emptied": found == b""}.get(way, True)
    path.write_bytes(b"")
    assert [damage(path, way, random.Random(0)) for way in ("cut", "zeroed", "emptied", "flipped")] == [None] * 4


def test_every_file_but_a_picture_is_damaged_and_read_by_the_commands_that_use_it(tmp_path):
    for name in ("config.json", "figures/a.png", "checkpoints/3/best/array", ".lock", "report.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert files_of(tmp_path) == ["checkpoints/3/best/array", "config.json", "report.html"]
    assert commands_for("vae", "report.html", 0, 0) == ("resume",)
    assert commands_for("vae", "config.json", 0, 1) == ("resume", "sample", "show", "list", "compare")
    for recipe in ("vae", "vq_vae"):
        deep = [[commands_for(recipe, "checkpoints/3/best/array", way, turn) for way in range(5)] for turn in range(20)]
        assert all(len(each) == 1 for of_file in deep for each in of_file)
        assert all(("resume",) in of_file for of_file in deep)
        assert {each[0] for of_file in deep for each in of_file} == {"resume", *LOADERS}


@pytest.mark.parametrize(
    ("code", "err", "said", "verdict"),
    [
        (0, "", ["numbers"], "same output"),
        (0, "metrics.jsonl is damaged: the checkpoint's is used\n", ["numbers"], "last good state, said so"),
        (0, "metrics.jsonl is damaged: the checkpoint's is used\n", ["others"], "last good state, said so"),
        (0, "", ["others"], "SILENT"),
        (0, "nothing of it\n", ["others"], "SILENT"),
        (2, "error: metrics.jsonl is damaged\n", [], "one line of error"),
        (2, "error: one\nerror: two\n", [], "WRONG ERROR"),
        (1, "error: metrics.jsonl is damaged\n", [], "WRONG ERROR"),
        (2, "Traceback (most recent call last):\nerror: x\n", [], "TRACEBACK"),
        (None, "", [], "HANG"),
        (-11, "", [], "CRASH"),
    ],
)
def test_a_command_on_a_damaged_folder_is_compared_with_one_on_an_undamaged_folder(tmp_path, code, err, said, verdict):
    expected = {"outcome": Outcome(0, 1.0, "", ""), "said": ["numbers"], "made": {}}
    got = {"outcome": Outcome(code, 1.0, "", err), "said": said, "made": {}}
    assert _judge("show", "metrics.jsonl", expected, got, {}, tmp_path, SimpleNamespace())[0] == verdict


def test_an_error_must_not_change_undamaged_files(tmp_path):
    (tmp_path / "config.json").write_text("whole")
    before = hashes(tmp_path)
    (tmp_path / "config.json").write_text("overwritten")
    expected = {"outcome": Outcome(0, 1.0, "", ""), "said": "", "made": {}}
    got = {"outcome": Outcome(2, 1.0, "", "error: x\n"), "said": "", "made": {}}
    judged = _judge("show", "metrics.jsonl", expected, got, before, tmp_path, SimpleNamespace())
    assert judged == ("OVERWRITTEN", ["config.json"])


def test_states_differ_in_numbers_but_not_in_times_or_machines(tmp_path):
    one = {"elbo": 1.0, "wall_seconds": 3.0, "models": [{"nll": 2.0, "training_seconds": 1}], "device": "cpu"}
    other = {"elbo": 1.0, "wall_seconds": 9.0, "models": [{"nll": 2.5, "training_seconds": 7}], "device": "gpu"}
    assert differences(without_time(one), without_time(other)) == ["/models/0/nll: 2.5 instead of 2.0"]
    assert differences({"a": [1, 2]}, {"a": [1]}) == ["/a: 1 rows instead of 2 rows"]
    assert differences({"a": 1}, {}) == ["/a: None instead of 1"]
    for name in ("checkpoints/3.orbax-checkpoint-tmp", ".metrics.jsonl.12.tmp", "checkpoints/3"):
        (tmp_path / name).mkdir(parents=True)
    assert sorted(leftovers(tmp_path)) == [".metrics.jsonl.12.tmp", "checkpoints/3.orbax-checkpoint-tmp"]


def test_kills_cover_every_kind_of_event_and_random_kills_follow_their_seed():
    events = [Event(n, kind, f"checkpoints/{n}/m") for n, kind in enumerate(["open", "write", "rename"] * 20, 1)]
    counts = {"events": 6, "sights": 2, "times": 2, "chains": 2, "stops": 4}
    cases = list(kill_cases({"vae": events}, {"vae": 30}, counts, 0))
    assert Counter(case.kind for case in cases) == {"kill": 12, "stop": 4}
    assert {case.id.split(": ")[1].split()[0] for case in cases if "/event " in case.id} >= {"open", "write", "rename"}
    assert len({case.id for case in cases}) == len(cases)
    drawn = [[case.id for case in random_kills(["vae"], 5, seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_log_is_read_without_its_cut_line_and_counted_for_the_record(tmp_path):
    lines = [
        {"id": "a", "kind": "kill", "verdict": "bit-identical", "ok": True, "details": {}},
        {"id": "late", "kind": "kill", "verdict": "ended before it", "ok": True, "details": {}},
        {"id": "b", "kind": "damage", "verdict": "SILENT", "ok": False, "details": {"file": "f", "why": None}},
    ]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"id": "c", "ki')
    assert read_lines(tmp_path / "log") == lines
    assert counted(lines) == {"kill": {"bit-identical": 1, "ended before it": 1}, "damage": {"SILENT": 1}}
    assert failure(lines[-1]) == "FAILED b: SILENT: file f"
    claims = {claim.claim: claim for claim in claims_of(lines)}
    assert claims["kills, each followed by --resume: promise kept"].values == [1.0]
    assert claims["kills, each followed by --resume: promise broken"].reached
    assert not claims["damages: different numbers without a message"].reached


PROGRAM = """
import json, os, signal, sys
from functools import partial
from pathlib import Path
from experiments.lib.faults import forked
from experiments.lib.faults.fault_cases import Case, Result, run_cases
from experiments.lib.faults.file_events import at_events, full_from, noted, signal_at
from experiments.lib.faults.small_runs import Bench
root = Path(sys.argv[1])

def work(folder, act):
    at_events(folder, act)
    folder.mkdir()
    with (folder / "new").open("w") as file:
        file.write("whole")
    os.replace(folder / "new", folder / "old")

def found(name, act):
    outcome = forked.call(partial(work, root / name, act), root / "log")
    files = {path.name: path.read_text() for path in (root / name).glob("*")}
    return outcome.code, files, outcome.last_line[:30]

told = {name: found(name, act) for name, act in {
    "noted": noted(root / "events"), "opened": signal_at(3, signal.SIGKILL), "half": signal_at(4, signal.SIGKILL),
    "renamed": signal_at(5, signal.SIGKILL), "full": full_from(4)}.items()}
told["events"] = (root / "events").read_text().split()
told["hang"] = forked.call(lambda: signal.pause(), root / "log", timeout=0.3).code
told["exit"] = forked.call(lambda: sys.exit(7), root / "log").code
again = [Case("k", name, lambda bench: [Result("fine", True, {"where": str(bench.scratch)})]) for name in "abc"]
for cases in (again[:2], again):
    told["cases"] = sorted(line["id"] for line in run_cases(cases, Bench(root), root / "cases", 2))
told["lines"] = len((root / "cases").read_text().splitlines())
print(json.dumps(told))
"""


def test_a_process_stops_at_any_event_and_cases_run_once(tmp_path):
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert " ".join(told["events"]) == "1 mkdir . 2 open new 3 opened new 4 write new 5 rename old"
    assert told["noted"] == [0, {"old": "whole"}, ""]
    assert told["opened"] == [-9, {"new": ""}, "killed at event 3: opened new"]
    assert told["half"] == [-9, {"new": "wh"}, "killed at event 4: write new"]
    assert told["renamed"] == [-9, {"new": "whole"}, "killed at event 5: rename old"]
    assert told["full"] == [1, {"new": ""}, "OSError: [Errno 28] No space l"]
    assert told["hang"] is None
    assert told["exit"] == 7
    assert told["cases"] == ["a", "b", "c"]
    assert told["lines"] == 3
