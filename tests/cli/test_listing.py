"""`vae-jax list`, `show`, `compare`: what is said is what the folders hold."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from cli.conftest import call
from vae_jax.checksums import write_recorded
from vae_jax.cli.compare import comparison, names_of
from vae_jax.cli.output import print_table
from vae_jax.runs.folder import FORMAT, RunFolder
from vae_jax.runs.reporting.metrics import text_of

pytestmark = pytest.mark.slow


def test_the_list_has_every_run_with_its_numbers_and_its_state(here, capsys):
    RunFolder(here / "runs/deep/begun").create({"experiment": "vae", "data": "digits"})
    newer = json.loads((here / "runs/autoencoder/config.json").read_text()) | {"format": FORMAT + 1}
    write_recorded(here / "runs/autoencoder", "config.json", json.dumps(newer))
    assert call("list", "--json") == 0
    rows = {row["run"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    # The prior of the codes has a config.json too, and is a part of its run.
    assert set(rows) == {"runs/vae", "runs/autoencoder", "runs/codes", "runs/deep/begun"}
    summary = RunFolder(here / "runs/vae").summary()
    assert rows["runs/vae"]["negative_elbo"] == summary["negative_elbo"]
    assert (rows["runs/vae"]["state"], rows["runs/deep/begun"]["state"]) == ("finished", "begun")
    assert "a newer version of vae_jax" in rows["runs/autoencoder"]["state"]
    assert call("list") == 0
    table = capsys.readouterr().out
    assert f"{summary['negative_elbo']:.2f}" in table and len(table.splitlines()) == 5


def test_a_run_that_cannot_be_read_does_not_end_the_list_of_the_others(tmp_path, capsys):
    for name in ("whole", "rows", "bytes", "locked", "lost"):
        RunFolder(tmp_path / name).create({"experiment": "vae", "data": "digits"})
    RunFolder(tmp_path / "rows").write_metrics(map(json.dumps, [{"epoch": 3, "seconds": 1.5}]))
    RunFolder(tmp_path / "bad").create({"experiment": "vae", "data": "digits"})
    RunFolder(tmp_path / "bad").write_metrics(map(json.dumps, [{"epoch": None}]))
    (tmp_path / "bytes/config.json").write_bytes(b'{"data": "\xff"}')
    (tmp_path / "locked/config.json").unlink()
    (tmp_path / "locked/config.json").mkdir()  # no file that can be read, whoever runs this: root may read all files
    (tmp_path / "lost/config.json").unlink()
    assert call("list", tmp_path, "--json") == 0
    rows = {Path(row["run"]).name: row["state"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (rows["whole"], rows["rows"]) == ("begun", "stopped or running, epoch 3")
    assert rows["bad"].startswith(f"not readable: FOLDER {tmp_path / 'bad'}: metrics.jsonl must have an epoch (int)")
    assert rows["lost"].startswith(f"not readable: FOLDER {tmp_path / 'lost'}: config.json is missing")
    for name in ("bytes", "locked"):
        assert rows[name].startswith(f"not readable: FOLDER {tmp_path / name}: config.json cannot be read (")
        assert call("show", tmp_path / name) == 2
        assert capsys.readouterr().err.startswith(f"error: RUN {tmp_path / name}: config.json cannot be read (")
    assert call("show", tmp_path / "rows") == 0


def test_a_folder_without_runs_is_said(here, capsys):
    assert call("list", "nowhere") == 2
    assert "FOLDER must be a folder with runs in it, got nowhere" in capsys.readouterr().err


def test_what_is_shown_is_what_the_run_holds(here, capsys):
    assert call("show", "runs/codes", "--json") == 0
    shown, run = json.loads(capsys.readouterr().out), RunFolder(here / "runs/codes")
    assert (shown["config"], shown["summary"], shown["state"]) == (run.config(), run.summary(), "finished")
    assert call("show", "runs/codes") == 0
    text = capsys.readouterr().out
    assert "vq_vae on blobs.npz, finished" in text and "MODEL.md" in text
    numbers = text.split("\nnumber\n")[1].split("\nfiles: ")[0].splitlines()
    assert "codes per image" in "".join(numbers)
    # Every number that a run leaves has a title in the table of metrics.
    assert [line for line in numbers if "_" in re.split(r"  +", line)[0]] == []


def test_runs_are_compared_by_what_differs(here, capsys):
    shutil.copytree("runs/vae", "again/vae")
    config = json.loads(Path("again/vae/config.json").read_text())
    write_recorded(Path("again/vae"), "config.json", json.dumps(config | {"latent_dim": 5}))
    assert call("compare", "runs/vae", "again/vae", "--output", "both.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["runs/vae", "again/vae"]
    rows = {words[0]: words[1:] for words in (re.split(r"  +", line) for line in lines[1:])}
    assert rows["latent_dim"] == ["3", "5"] and "hidden" not in rows
    elbo = text_of(RunFolder(here / "runs/vae").summary(), "negative_elbo")
    assert rows["negative ELBO, nats per image"] == [elbo, elbo]
    with Image.open("both.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "runs/vae"], "RUN: give the folders of two runs or more, got 1"),
        (["compare", "runs/vae", "runs/vae"], "RUN: give each folder only once"),
        (["compare", "runs/vae", "blobs.npz"], "RUN must be the folder of a run, got blobs.npz"),
        (["compare", "runs/vae", "runs/codes", "--output", "x.jpg"], "--output must end in .png, got x.jpg"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_written(here, capsys, words, message):
    before = sorted(path.name for path in here.iterdir())
    assert call(*words) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == before


def test_names_are_as_long_as_they_must_be():
    assert names_of([Path("/a/b/c"), Path("/a/x/c")]) == ["b/c", "x/c"]
    assert names_of([Path("/a/b"), Path("/a/c")]) == ["b", "c"]


def test_a_number_that_only_one_run_has_stands_beside_an_empty_cell():
    rows = comparison([{"beta": 4.0}, {}], [{"nll": 85.254, "steps": 2000}, {}])
    assert ["beta", "4", ""] in rows and ["training steps", "2,000", ""] in rows
    assert ["negative log-likelihood, nats per image", "85.25", ""] in rows


def test_settings_that_differ_are_written_with_all_their_digits():
    rows = comparison(
        [{"learning_rate": 1e-3, "hidden": [400]}, {"learning_rate": 3e-3, "hidden": [400, 200]}], [{}, {}]
    )
    assert ["learning_rate", "0.001", "0.003"] in rows and ["hidden", "400", "400 200"] in rows


def test_a_table_fits_its_terminal_and_has_a_line_for_each_row_elsewhere(monkeypatch, capsys):
    said = "twelve words that a terminal of forty columns has no room for"
    rows = [["seed", "0"], ["data_note", said]]
    print_table(("number", ""), rows, left=2)
    assert capsys.readouterr().out == f"number\nseed       0\ndata_note  {said}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("number", ""), rows, left=2)
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 40 and len(lines) == 5
    assert " ".join(" ".join(lines[2:]).split()) == f"data_note {said}"
