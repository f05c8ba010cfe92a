import errno
import json
import os
import shutil
from pathlib import Path

import filelock
import pytest

from vae_jax import checksums
from vae_jax.atomic import check_writable
from vae_jax.checksums import Damaged, write_recorded
from vae_jax.differences import as_json
from vae_jax.runs.folder import FORMAT, RunFolder

CONFIG = {"experiment": "vae", "hidden": (400, 200), "data": Path("a/b"), "seed": 0}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def contents(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_folder_that_is_not_there_or_is_empty_is_new_and_stays_unwritten(folder):
    folder.check_new()
    assert not folder.path.exists()
    folder.path.mkdir()
    folder.check_new()
    assert contents(folder.path) == {}


def test_a_folder_that_holds_a_run_is_not_new(folder):
    folder.create(CONFIG)
    with pytest.raises(ValueError, match=r"--run-dir .*run already holds a run: .*--resume"):
        folder.check_new()


def test_a_folder_that_holds_anything_else_is_not_new(folder):
    folder.path.mkdir()
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"--run-dir .*run exists and is not an empty folder"):
        folder.check_new()
    assert contents(folder.path) == {"notes.txt": b"mine"}


def test_a_file_in_the_folders_place_is_not_new(folder):
    folder.path.write_text("mine")
    with pytest.raises(ValueError, match=r"--run-dir .*run exists and is not an empty folder"):
        folder.check_new()


def test_a_place_that_cannot_be_written_is_refused_by_the_argument_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("mine")
    for check in (
        RunFolder(tmp_path / "file/runs/a").check_new,
        lambda: check_writable(tmp_path / "file/a.png", "--run-dir"),
    ):
        with pytest.raises(ValueError, match=r"^--run-dir .*file/.* cannot be written .*Not a directory"):
            check()
    for name in ("a\\b", "gs:/b"):
        with pytest.raises(ValueError, match=r"^--run-dir must be a path without .*, got /.*: give another folder"):
            RunFolder(tmp_path / name).check_new()
    check_writable(tmp_path / "file", "--output")
    check_writable(tmp_path / "a/b/c.png", "--output")
    assert contents(tmp_path) == {"file": b"mine"} and len(list(tmp_path.iterdir())) == 1


def test_the_configuration_is_read_back_as_json_has_it(folder):
    folder.create(CONFIG)
    assert folder.config() == {"experiment": "vae", "hidden": [400, 200], "data": "a/b", "seed": 0}
    written = json.loads((folder.path / "config.json").read_text())
    assert written == {"format": FORMAT} | folder.config()
    assert folder.figures.is_dir()


def test_the_shape_of_the_images_is_kept_beside_the_settings(tmp_path):
    folder = RunFolder(tmp_path / "run")
    about = {"image_shape": (28, 28, 1), "data_fingerprint": "ab12", "versions": {"jax": "0.10.2"}}
    folder.create(CONFIG, **about)
    assert folder.image_shape() == (28, 28, 1)
    assert folder.about() == about | {"image_shape": [28, 28, 1]}
    assert not folder.config().keys() & about.keys()
    folder.check_data("ab12", "a/b")
    with pytest.raises(ValueError, match=r"--data a/b has changed since \(fingerprint ab12 then, cd34 now\)"):
        folder.check_data("cd34", "a/b")
    other = RunFolder(tmp_path / "other")
    other.create(CONFIG)
    with pytest.raises(ValueError, match=r"config.json must hold the image_shape \[H, W, 1 or 3\], .* got null"):
        other.image_shape()


@pytest.mark.parametrize(
    ("number", "words"),
    [(FORMAT + 1, "a newer version of vae_jax"), (None, "another version"), ("two", "another version")],
)
def test_a_run_of_another_version_is_refused_and_left_as_it_is(folder, number, words):
    folder.create(CONFIG)
    config = folder.path / "config.json"
    write_recorded(folder.path, "config.json", json.dumps(json.loads(config.read_text()) | {"format": number}))
    before = contents(folder.path)
    with pytest.raises(ValueError, match=rf"run was made by {words} .*has format {json.dumps(number)}, not {FORMAT}\)"):
        folder.config()
    assert contents(folder.path) == before


@pytest.mark.parametrize("argument", ["--run-dir", "RUN"])
def test_a_folder_without_a_run_has_no_configuration(tmp_path, argument):
    folder = RunFolder(tmp_path / "run", argument)
    with pytest.raises(
        ValueError, match=rf"^{argument} must be the folder of a run, got .*run: there is no such folder"
    ):
        folder.config()
    folder.path.mkdir()
    with pytest.raises(ValueError, match=rf"^{argument} must be the folder of a run, got .*run: it has no config.json"):
        folder.config()


def test_a_file_that_is_no_json_is_named(folder):
    folder.create(CONFIG)
    write_recorded(folder.path, "config.json", '{"seed": ')
    with pytest.raises(ValueError, match=r"^--run-dir .*run: config.json is not valid JSON \(Expecting value"):
        folder.config()


def test_a_folder_has_a_checkpoint_once_a_whole_one_is_there(folder):
    assert not folder.has_checkpoint()
    folder.create(CONFIG)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "3.orbax-checkpoint-tmp").mkdir()  # what a save that was killed leaves
    assert not folder.has_checkpoint()
    (folder.checkpoints / "2").mkdir()
    assert folder.has_checkpoint()


def test_the_same_configuration_is_accepted_whether_its_lists_are_tuples_or_not(folder):
    folder.create(CONFIG)
    folder.check_same(CONFIG)
    folder.check_same(folder.config())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, r"differ: seed \(the run: 0, now: 1\)$"),
        ({"hidden": (400,), "seed": 1}, r"differ: hidden \(the run: \[400, 200\], now: \[400\]\), seed \(the run: 0,"),
        ({"beta": 4.0}, r"differ: beta \(the run: None, now: 4.0\)$"),
    ],
)
def test_another_configuration_is_refused_by_the_names_of_its_fields(folder, other, message):
    folder.create(CONFIG)
    before = contents(folder.path)
    with pytest.raises(ValueError, match=message):
        folder.check_same(CONFIG | other)
    assert contents(folder.path) == before


def test_of_two_runs_that_found_the_folder_free_the_second_is_refused(folder):
    folder.check_new()
    folder.create(CONFIG)
    (folder.figures / "a.png").write_bytes(b"png")
    before = contents(folder.path)
    with pytest.raises(ValueError, match="already holds a run"):
        folder.create(CONFIG | {"seed": 1})
    assert contents(folder.path) == before


def test_metrics_are_one_line_of_json_an_epoch_written_anew(folder):
    folder.create(CONFIG)
    assert folder.metrics() == []
    rows = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1e-7}]
    folder.write_metrics(map(json.dumps, rows))
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == folder.metrics() == rows
    folder.write_metrics(map(json.dumps, [{"epoch": 1, "loss": 0.1}]))
    assert (folder.path / "metrics.jsonl").read_text() == '{"epoch": 1, "loss": 0.1}\n'


def test_the_summary_is_read_back(folder):
    folder.create(CONFIG)
    folder.write_summary({"nll": 85.25, "rate": None})
    assert json.loads((folder.path / "summary.json").read_text()) == {"nll": 85.25, "rate": None}


def test_a_number_that_is_not_finite_is_null_and_no_error_at_the_end_of_a_long_run(folder):
    folder.create({})
    added = folder.add_to_summary({"nll": float("inf"), "rate": float("nan"), "words": "x", "kl": [1.0, float("nan")]})
    assert added == folder.summary() == {"nll": None, "rate": None, "words": "x", "kl": [1.0, None]}


def test_numbers_are_added_to_what_the_summary_holds_by_now(folder):
    folder.create(CONFIG)
    assert folder.summary() is None
    assert folder.add_to_summary({"rate": 20.0, "nll": 90.0}) == {"rate": 20.0, "nll": 90.0}
    # Two evaluations at once: each adds to what the other has written meanwhile.
    RunFolder(folder.path).add_to_summary({"mutual_information": 6.9})
    assert folder.add_to_summary({"nll": 85.25}) == {"rate": 20.0, "nll": 85.25, "mutual_information": 6.9}
    assert folder.summary() == {"rate": 20.0, "nll": 85.25, "mutual_information": 6.9}


def test_a_run_that_could_not_begin_leaves_no_folder_and_one_that_did_is_kept(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create({"seed": 0})
    (folder.checkpoints).mkdir()
    folder.remove_unless_trained()
    assert not folder.path.exists()
    for mark in ("checkpoints/3", "metrics.jsonl"):
        folder = RunFolder(tmp_path / mark.replace("/", "-"))
        folder.create({"seed": 0})
        if "/" in mark:
            (folder.path / mark).mkdir(parents=True)
        else:
            folder.write_metrics(map(json.dumps, [{"epoch": 1}]))
        folder.remove_unless_trained()
        assert folder.exists()


def test_what_a_kill_leaves_before_a_run_has_begun_can_be_begun_in(folder):
    folder.create(CONFIG)
    folder.unlock()
    (folder.path / "config.json").unlink()
    RunFolder(folder.path).check_new()
    (folder.path / "config.json").write_text("")  # of a full disk
    (folder.path / ".config.json.123.tmp").write_text("{")
    again = RunFolder(folder.path)
    assert not again.exists()
    again.check_new()
    again.create(CONFIG)
    assert again.config()["hidden"] == [400, 200]
    again.unlock()
    (folder.path / "config.json").unlink()
    (folder.figures / "a.png").write_bytes(b"png")
    with pytest.raises(ValueError, match="is not an empty folder"):
        RunFolder(folder.path).check_new()


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "summary.json", "checksums.json"])
def test_every_damage_of_a_file_is_named_with_what_can_be_done(folder, name):
    folder.create(CONFIG)
    folder.write_metrics(map(json.dumps, [{"epoch": 1, "loss": 0.1}]))
    folder.write_summary({"nll": 85.25})
    read = {"metrics.jsonl": folder.metrics, "summary.json": folder.summary}.get(name, folder.config)
    whole = (folder.path / name).read_bytes()
    read()
    flip = bytearray(whole)
    flip[whole.index(b"json" if name == "checksums.json" else b":") + 1] ^= 4
    for content in (whole[:-9], bytes(len(whole)), b"", bytes(flip), None):
        (folder.path / name).unlink() if content is None else (folder.path / name).write_bytes(content)
        with pytest.raises(
            Damaged, match=r"^--run-dir .*run: .*(damaged|missing|cannot be read).*--resume\), which restores it"
        ):
            read()
        (folder.path / name).write_bytes(whole)
    assert read()


def test_a_second_process_is_told_of_the_first_and_the_lock_ends_with_it(folder):
    folder.create(CONFIG)
    other = RunFolder(folder.path, "RUN")
    with pytest.raises(ValueError, match=r"^RUN .*run: another process is working in this folder"):
        other.lock()
    folder.unlock()
    other.lock()
    other.lock()
    with pytest.raises(ValueError, match="another process"):
        folder.lock()
    other.unlock()


def test_a_run_of_an_earlier_version_is_read_as_it_is_and_has_checksums_from_its_next_write_on(folder):
    folder.path.mkdir()
    (folder.path / "config.json").write_text(json.dumps({"format": 2, "seed": 3}))
    (folder.path / "summary.json").write_text(json.dumps({"nll": 85.25}))
    (folder.path / "scores").mkdir()
    (folder.path / "scores/final-0.json").write_text('{"mig": 0.5}')
    assert (folder.config(), folder.is_earlier(), folder.about()) == ({"seed": 3}, True, {})
    folder.add_to_summary({"rate": 20.0})
    assert (folder.config(), folder.summary()) == ({"seed": 3}, {"nll": 85.25, "rate": 20.0})
    (folder.path / "config.json").write_text(json.dumps({"format": 2, "seed": 4}))
    with pytest.raises(Damaged, match=r"config.json is damaged or was changed by hand"):
        folder.config()
    assert folder.read_part("scores/final-0.json") == {"mig": 0.5}
    (folder.path / "scores/final-0.json").write_text('{"mig": 0.6}')
    with pytest.raises(Damaged, match=r"scores/final-0.json is damaged"):
        folder.read_part("scores/final-0.json")


def test_a_process_killed_while_it_restores_the_configuration_leaves_it_to_be_restored(folder, monkeypatch):
    folder.create(CONFIG, versions={"jax": "1"})
    about = folder.about()
    (folder.path / "checksums.json").write_text("{")
    (folder.path / "config.json").unlink()
    write, left = checksums.write_atomically, []

    def killed(path, content, durable=True):
        if not left:
            raise KeyboardInterrupt
        write(left.pop(), content, durable)

    monkeypatch.setattr(checksums, "write_atomically", killed)
    record = folder.path / "checksums.json"
    for done in ([], [record], [record]):  # killed at the new record, at its entry, and at the file
        left[:] = done
        with pytest.raises(Damaged):
            folder.config()
        with pytest.raises(KeyboardInterrupt):
            folder.restore_config(CONFIG, about)
    with pytest.raises(Damaged):
        folder.config()
    monkeypatch.setattr(checksums, "write_atomically", write)
    folder.restore_config(CONFIG, about)
    assert folder.config() == as_json(CONFIG) and folder.about() == about


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_a_file_system_without_locks_is_written_to_with_a_warning(folder, monkeypatch, error):
    def acquire(self, *arguments, **named):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match=r"^--run-dir .*run: this file system has no locks; start no second process"):
        folder.create(CONFIG)
    folder.unlock()
    assert folder.config() == as_json(CONFIG)
    error = OSError(errno.EROFS, "Read-only file system")
    with pytest.raises(OSError, match="Read-only"):
        folder.lock()


def test_a_path_that_is_no_utf_8_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"^--run-dir must be a path in UTF-8, got "):
        RunFolder(tmp_path / os.fsdecode(b"a\xff")).check_new()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_under_its_run_is_a_fault_of_the_machine(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(CONFIG)
    shutil.rmtree(folder.path)
    folder.checkpoints.mkdir(parents=True)  # something has made it again
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        folder.config()
    folder.unlock()
    with pytest.raises(ValueError, match=r"must be the folder of a run, got .*run: it has no config.json"):
        folder.config()


def test_a_configuration_that_is_written_again_keeps_the_time_when_the_run_was_begun(folder):
    folder.create(CONFIG)
    path = folder.path / "config.json"
    os.utime(path, (1_000_000_000, 1_000_000_000))
    folder.keep_config(CONFIG | {"epochs": 9}, {})
    assert folder.config()["epochs"] == 9
    assert path.stat().st_mtime == 1_000_000_000
