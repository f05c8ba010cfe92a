"""Promises of a run folder: same bits after any stop, no damage unseen, the same run or none."""

import json
import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from runs.commands import SCRIPTS, command, contents, lines_of, numbers_of, train, without_seconds
from runs.conftest import write_blobs
from vae_jax import load
from vae_jax.checksums import write_recorded
from vae_jax.cli.train import main
from vae_jax.runs.fitting import in_folder
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images import kind as run_images
from vae_jax.runs.progress import ProgressDisplay

pytestmark = [pytest.mark.usefixtures("in_an_empty_folder", "without_figures"), pytest.mark.slow]


def resume(monkeypatch, capsys, path, *words, name="vae"):
    """The exit code, the summary (None if there is none), and what came on stderr."""
    monkeypatch.setattr("sys.argv", ["x", "--run-dir", path, "--resume", *words])
    code = 0
    try:
        main(SCRIPTS[name].RECIPE, "")
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run in `whole`, of three epochs and a save after each."""
    folder = tmp_path_factory.mktemp("made")
    write_blobs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(run_images, "model_figures", lambda subject, key: [])
        patch.setattr(in_folder.OrbaxCheckpoints, "due", lambda self: True)
        train("vae", "whole")
    return folder


@pytest.fixture
def whole(made):
    """The summary of that run, of which a copy is in the folder `whole`."""
    shutil.copytree(made / "whole", "whole")
    assert [row["epoch"] for row in lines_of("whole/metrics.jsonl")] == [1, 2, 3]
    return json.loads(Path("whole/summary.json").read_text())


def same_as_whole(path, summary, whole):
    assert numbers_of(summary) == numbers_of(whole)
    assert without_seconds(f"{path}/metrics.jsonl") == without_seconds("whole/metrics.jsonl")
    params = [load(folder)[1] for folder in (path, "whole")]
    assert [str(np.asarray(leaf).tobytes()) for leaf in _leaves(params[0])] == [
        str(np.asarray(leaf).tobytes()) for leaf in _leaves(params[1])
    ]


def _leaves(tree):
    return [leaf for part in tree.values() for leaf in _leaves(part)] if isinstance(tree, dict) else [tree]


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "int")])
def test_a_signal_saves_first_and_the_run_ends_in_the_same_bits(monkeypatch, capsys, whole, number, code, word):
    def signaled(self, rows):
        if rows[0]["epoch"] == 1:
            os.kill(os.getpid(), number)

    # A run heeds no signal that it was started to ignore, as one that a shell script puts in the background may be.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ProgressDisplay, "show", signaled)
            ended, out, error = command(patch, capsys, "vae", "--run-dir part")
        assert signal.getsignal(number) is signal.default_int_handler  # as it was before the run
    finally:
        signal.signal(number, before)
    assert (ended, out) == (code, "")
    assert "stopping after this epoch, which is saved first; a second signal stops at once" in error
    assert re.match(rf"{word}\w*; to continue: vae-jax train vae --run-dir part --resume$", error.splitlines()[-1])
    done = len(lines_of("part/metrics.jsonl"))
    assert done in (2, 3)  # the epoch that the device was at
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressDisplay, "show", lambda self, rows: epochs.append(rows[0]["epoch"]))
        ended, summary, _ = resume(patch, capsys, "part")
    assert ended == 0 and epochs == [3][done - 2 :]
    same_as_whole("part", summary, whole)


def test_a_kill_between_a_save_and_its_row_of_metrics_loses_nothing(monkeypatch, capsys, whole):
    for kept in (1, 2):  # rows that were written before the kill, of saves of as many epochs and one more
        part = f"part-{kept}"
        shutil.copytree("whole", part)
        RunFolder(Path(part)).remove_summary()
        for number in range(kept + 2, 4):
            shutil.rmtree(f"{part}/checkpoints/{number}", ignore_errors=True)
        RunFolder(Path(part)).write_metrics(map(json.dumps, lines_of("whole/metrics.jsonl")[:kept]))
        code, summary, _ = resume(monkeypatch, capsys, part)
        assert code == 0
        same_as_whole(part, summary, whole)
        seconds = [row["seconds"] for row in lines_of(f"{part}/metrics.jsonl")]
        assert len(seconds) == 3 and seconds == sorted(seconds)


DAMAGES = {
    "cut": lambda content: content[:-9],
    "zeroed": lambda content: bytes(len(content)),
    "emptied": lambda content: b"",
    "flipped": lambda content: content[:40] + bytes([content[40] ^ 2]) + content[41:],
    "deleted": lambda content: None,
}


def test_a_resume_restores_whatever_is_damaged_and_says_so(monkeypatch, capsys, whole):
    words = {
        "config.json": "config.json .*: restored from the checkpoint",
        "metrics.jsonl": "metrics.jsonl is written again from the last checkpoint",
        "summary.json": "summary.json is measured again, without the numbers that .vae-jax evaluate. had added",
        "checksums.json": "(checksums|config).json .*restored from the checkpoint",
        "checkpoints/3/last/_METADATA": "3 is damaged: .* continuing from the one before it",
        "checkpoints/3/progress/metadata": "3 is damaged: .* continuing from the one before it",
    }
    for i, (name, said) in enumerate(words.items()):
        damage = "emptied" if name == "checksums.json" else list(DAMAGES)[i % 5]
        part = f"part-{i}"
        shutil.copytree("whole", part)
        content = DAMAGES[damage](Path(part, name).read_bytes())
        Path(part, name).unlink() if content is None else Path(part, name).write_bytes(content)
        code, summary, error = resume(monkeypatch, capsys, part)
        assert code == 0, (name, damage, error)
        assert re.search(said, error), (name, damage, error)
        same_as_whole(part, summary, whole)
        if name == "checksums.json":  # what evaluate has added may be in it
            assert "summary.json cannot be verified: it is renamed to summary.unverified" in error
            assert Path(part, "summary.unverified").read_bytes() == Path("whole/summary.json").read_bytes()


def test_a_run_goes_on_elsewhere_and_without_its_empty_folders(monkeypatch, capsys, whole):
    shutil.copytree("whole", "part", ignore=shutil.ignore_patterns("figures", "summary.json"))
    RunFolder(Path("part")).remove_summary()
    config = json.loads(Path("part/config.json").read_text())
    write_recorded(Path("part"), "config.json", json.dumps(config | {"device": "tpu (v9)"}, indent=2) + "\n")
    code, summary, error = resume(monkeypatch, capsys, "part")
    assert code == 0, error
    assert f"begun on tpu (v9), continued on {config['device']}: the results may differ" in error
    same_as_whole("part", summary, whole)
    assert "begun on" not in resume(monkeypatch, capsys, "part")[2]


def test_what_only_reads_a_damaged_run_says_so_in_a_line_and_changes_nothing(monkeypatch, capsys, whole):
    saved = "checkpoints/3/best/_METADATA", "checkpoints/3/progress/metadata"
    for i, name in enumerate(("config.json", "summary.json", "checksums.json", *saved)):
        for damage, spoil in DAMAGES.items():
            part = f"part-{i}-{damage}"
            shutil.copytree("whole", part)
            content = spoil(Path(part, name).read_bytes())
            Path(part, name).unlink() if content is None else Path(part, name).write_bytes(content)
            before = contents(part)
            with pytest.raises(ValueError, match=r"(damaged|missing|cannot be read|no config.json)") as error:
                load(part)
            assert "\n" not in str(error.value) and "--resume" in str(error.value), (name, damage)
            assert contents(part) == before


def assert_refused_and_untouched(monkeypatch, capsys, message):
    before = contents("whole")
    for words in ((), ("--epochs", "9")):
        code, _, error = resume(monkeypatch, capsys, "whole", *words)
        assert code == 2
        assert message in error.splitlines()[-1]
        assert contents("whole") == before


def test_a_run_that_lost_its_checkpoints_never_begins_again_in_silence(monkeypatch, capsys, whole):
    shutil.rmtree("whole/checkpoints")
    assert_refused_and_untouched(monkeypatch, capsys, "error: --run-dir whole has lost its checkpoints")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load("whole")


def test_a_run_without_a_whole_checkpoint_is_refused_before_anything_is_written(monkeypatch, capsys, whole):
    for damaged in Path("whole/checkpoints").glob("*/last/_METADATA"):
        damaged.unlink()
    assert_refused_and_untouched(monkeypatch, capsys, "and there is no intact checkpoint before it; begin a new run")


def test_a_run_killed_before_its_first_save_says_that_it_begins_again(monkeypatch, capsys, whole):
    Path("part").mkdir()
    for name in ("config.json", "checksums.json"):
        shutil.copy(f"whole/{name}", f"part/{name}")
    RunFolder(Path("part")).remove_summary()
    (sums := Path("part/checksums.json")).write_text(
        json.dumps({"files": {"config.json": json.loads(sums.read_text())["files"]["config.json"]}})
    )
    code, summary, error = resume(monkeypatch, capsys, "part")
    assert code == 0
    assert "stopped before its first checkpoint: it starts again at epoch 1" in error
    same_as_whole("part", summary, whole)


def test_other_settings_other_data_and_other_versions_are_refused_by_all_that_goes_on(monkeypatch, capsys, whole):
    config = json.loads(Path("whole/config.json").read_text())
    Path("whole/config.json").write_text(json.dumps(config | {"learning_rate": 0.5}))
    code, _, error = resume(monkeypatch, capsys, "whole")  # by hand: the settings of the checkpoint come back
    assert code == 0 and "changed by hand" in error and "restored from the checkpoint" in error
    write_recorded(Path("whole"), "config.json", json.dumps(config | {"learning_rate": 0.5}))  # by a forger
    code, _, error = resume(monkeypatch, capsys, "whole")
    for words in (error.splitlines()[-1], _error_of_load("whole")):
        assert code == 2
        assert "learning_rate (the run: 0.001, now: 0.5)" in words

    for versions, words in ((config["versions"] | {"jax": "0.1"}, "was begun with jax 0.1 (now"), (None, None)):
        write_recorded(Path("whole"), "config.json", json.dumps(config | {"versions": versions}))
        code, _, error = resume(monkeypatch, capsys, "whole")
        assert (code, words is None or words in error) == (0 if words is None else 2, True)
    write_recorded(Path("whole"), "config.json", json.dumps(config | {"versions": {"jax": "0.1"}}))
    assert resume(monkeypatch, capsys, "whole", "--accept-versions")[0] == 0

    with np.load("blobs.npz") as blobs:
        np.savez("blobs.npz", train=blobs["train"][::-1], test=blobs["test"])
    before = contents("whole")
    code, _, error = resume(monkeypatch, capsys, "whole")
    assert code == 2
    assert "whole was made with other data: --data blobs.npz has changed since" in error
    assert contents("whole") == before


def _error_of_load(path):
    with pytest.raises(ValueError, match="checkpoint does not hold the model that") as error:
        load(path)
    return str(error.value)


def test_epochs_may_be_raised_or_lowered_if_the_schedule_is_constant(monkeypatch, capsys, whole):
    longer = json.loads(command(monkeypatch, capsys, "vae", "--run-dir longer --epochs 5")[1])
    shutil.copytree("whole", "extended")
    RunFolder(Path("extended")).add_to_summary({"nll": 1.0, "nll_samples": 5000})  # of the shorter run
    code, summary, _ = resume(monkeypatch, capsys, "extended", "--epochs", "5")
    assert code == 0
    assert numbers_of(summary) == numbers_of(longer)
    assert without_seconds("extended/metrics.jsonl") == without_seconds("longer/metrics.jsonl")
    assert json.loads(Path("extended/config.json").read_text())["epochs"] == 5
    # And a run that has done more than it is now to do ends where it is.
    code, summary, error = resume(monkeypatch, capsys, "extended", "--epochs", "2")
    assert code == 0
    assert "extended has already been trained for 5 epochs: it ends there, not at 2" in error
    assert numbers_of(summary) == numbers_of(longer)
    command(monkeypatch, capsys, "vae", "--run-dir cosine --schedule cosine")
    code, _, error = resume(monkeypatch, capsys, "cosine", "--epochs", "5")
    assert code == 2
    assert "--epochs must be 3, with which" in error


def test_an_unfinished_run_is_opened_at_its_best_epoch_so_far_with_a_word(monkeypatch, capsys, whole):
    with suppress(FileNotFoundError):
        shutil.rmtree("whole/checkpoints/3")
    RunFolder(Path("whole")).remove_summary()
    RunFolder(Path("whole")).write_metrics(map(json.dumps, lines_of("whole/metrics.jsonl")[:2]))
    with pytest.warns(UserWarning, match="whole has not finished: its best epoch of the 2 so far is used"):
        _, params, config = load("whole")
    assert config["epochs"] == 3
    assert params["decoder"]["output"]["bias"].shape == (36,)


def test_a_second_process_is_told(monkeypatch, capsys, whole):
    first = RunFolder(Path("whole"))
    first.lock()
    before = contents("whole")
    code, _, error = resume(monkeypatch, capsys, "whole")
    assert (code, contents("whole")) == (2, before)
    assert "error: --run-dir whole: another process is working in this folder" in error
    first.unlock()
    assert resume(monkeypatch, capsys, "whole")[0] == 0
