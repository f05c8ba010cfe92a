"""From a command line to a run folder. In this process, but for where the process itself is the point."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from runs.commands import ROOT, SCRIPTS, SMALL, command, contents, lines_of, numbers_of, train, without_seconds
from runs.conftest import write_blobs
from training.subprocesses import ORDINARY, SOON_COMPILED
from vae_jax.cli.train import exit_if_training_ends_early, main
from vae_jax.data import Unreadable
from vae_jax.runs.fitting import in_folder, train_models
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images import kind as run_images
from vae_jax.runs.progress import ProgressDisplay

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")
NUMBERS = {
    "experiment", "data", "seed", "steps", "negative_elbo", "rate", "distortion", "active_units", "wall_seconds",
    "device", "versions",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains a run of a recipe in a folder of its own, once: the folder, and what came on stdout and on stderr."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp(name)
        write_blobs(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(run_images, "model_figures", lambda subject, key: [])
            return folder, *train(name, "run")

    return make


@pytest.fixture
def finished(trained, without_figures):
    """Puts a copy of such a run into the current folder as `run`; returns what came on stdout and on stderr."""

    def copy(name):
        folder, out, err = trained(name)
        shutil.copytree(folder / "run", "run")
        assert json.loads(out) == json.loads(Path("run/summary.json").read_text())
        return out, err

    return copy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "beta_vae", "autoencoder"])
def test_a_run_ends_with_its_summary_as_json_and_leaves_files_that_agree_with_it(finished, name):
    out, err = finished(name)
    assert out.count("\n") == 1  # and nothing else
    summary = json.loads(out)
    assert "report: run/report.html\n" in err
    assert set(summary) >= NUMBERS
    assert summary["experiment"] == name
    assert summary["seed"] == 0
    assert summary["steps"] == 3 * 7
    assert json.loads(Path("run/summary.json").read_text()) == summary
    rows = lines_of("run/metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["step"] for row in rows] == [7, 14, 21]
    losses = [row["validation/loss"] for row in rows]
    assert summary["best_epoch"] == losses.index(min(losses)) + 1
    assert losses[-1] < losses[0]
    config = json.loads(Path("run/config.json").read_text())
    assert config["experiment"] == name
    assert config["hidden"] == [8]
    assert config["likelihood"] == "bernoulli"
    assert config["binarization"] == "dynamic"
    assert config["validation_size"] == 10
    assert config["beta"] == (4.0 if name == "beta_vae" else None)
    report = Path("run/report.html").read_text()
    assert "blobs" in report
    assert f"vae-jax train {name}" in report


@pytest.mark.slow
def test_the_elbo_of_a_beta_vae_is_the_true_one_whatever_beta(monkeypatch, capsys, without_figures):
    _, out, _ = command(monkeypatch, capsys, "beta_vae", "--run-dir run --beta 10")
    summary = json.loads(out.splitlines()[-1])
    assert summary["rate"] > 0.001
    np.testing.assert_allclose(summary["negative_elbo"], summary["rate"] + summary["distortion"], rtol=1e-5)
    for row in lines_of("run/metrics.jsonl"):
        for split in ("train", "validation"):
            rate, distortion = row[f"{split}/rate"], row[f"{split}/distortion"]
            np.testing.assert_allclose(row[f"{split}/elbo"], -(rate + distortion), rtol=1e-5)
            np.testing.assert_allclose(row[f"{split}/loss"], distortion + 10 * rate, rtol=1e-5)


@pytest.mark.slow
def test_an_autoencoder_has_a_distortion_and_no_elbo(finished):
    out, _ = finished("autoencoder")
    summary = json.loads(out.splitlines()[-1])
    assert summary["negative_elbo"] is summary["rate"] is summary["active_units"] is None
    assert 0 < summary["distortion"] < 36 * np.log(2) + 2  # a fair coin's, for 36 pixels, and then some


@pytest.mark.slow
def test_a_vaes_summary_says_how_far_its_likelihood_is_to_be_trusted(finished):
    out, error = finished("vae")
    summary = json.loads(out.splitlines()[-1])
    # Two samples have no tail to judge: k is infinite, null in JSON, and the run says so.
    assert 1 <= summary["effective_sample_size"] <= 2
    assert (summary["pareto_k"], summary["pareto_k_above_limit"]) == (None, 1.0)
    assert f"warning: {summary['nll_warning']}" in error
    assert len(summary["kl_per_dimension"]) == 2
    np.testing.assert_allclose(sum(summary["kl_per_dimension"]), summary["rate"], rtol=1e-5)
    assert summary["posterior_collapse"] in Path("run/report.html").read_text()


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers_and_another_seed_others(finished, monkeypatch, capsys):
    runs = [finished("vae")[0]]
    runs += [command(monkeypatch, capsys, "vae", f"--run-dir seed{seed} --seed {seed}")[1] for seed in (0, 1)]
    first, again, other = (numbers_of(json.loads(out.splitlines()[-1])) for out in runs)
    assert first == again
    assert first["negative_elbo"] != other["negative_elbo"]
    assert without_seconds("run/metrics.jsonl") == without_seconds("seed0/metrics.jsonl")


@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_left_as_it_is(finished, monkeypatch, capsys):
    finished("vae")
    before = contents("run")
    for arguments, named in [
        ("--run-dir run", "--run-dir run already holds a run"),
        ("--run-dir run --resume --learning-rate 0.1", "learning_rate (the run: 0.001, now: 0.1)"),
        ("--run-dir run --resume --seed 1", "seed (the run: 0, now: 1)"),
    ]:
        code, out, error = command(monkeypatch, capsys, "vae", arguments)
        assert (code, out) == (2, "")
        assert named in error
        assert len(error.splitlines()) == 1
        assert contents("run") == before
    code, _, error = command(monkeypatch, capsys, "beta_vae", "--run-dir run --resume")
    assert code == 2
    assert "--run-dir run holds a run of vae, not of beta_vae" in error
    assert contents("run") == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_a_run_that_was_interrupted_and_resumed_ends_in_the_same_numbers(monkeypatch, capsys, without_figures, name):
    _, out, _ = command(monkeypatch, capsys, name, "--run-dir whole --schedule cosine")
    whole = json.loads(out.splitlines()[-1])

    class EveryEpoch(in_folder.OrbaxCheckpoints):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, every_seconds=0.0, **options)

    def interrupt(self, rows):
        if rows[0]["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(in_folder, "OrbaxCheckpoints", EveryEpoch)
        patch.setattr(ProgressDisplay, "show", interrupt)
        code, out, error = command(patch, capsys, name, "--run-dir part --schedule cosine")
    assert (code, out) == (130, "")
    assert f"{name} --run-dir part --resume" in error.rpartition("interrupted; to continue: ")[2]
    assert len(lines_of("part/metrics.jsonl")) == 2
    assert not Path("part/summary.json").exists()

    # The settings come from the run: none has to be repeated.
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressDisplay, "show", lambda self, rows: epochs.append(rows[0]["epoch"]))
        patch.setattr(sys, "argv", ["x", "--run-dir", "part", "--resume"])
        main(SCRIPTS[name].RECIPE, "")
    resumed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert epochs == [3]  # no epoch is trained twice
    assert numbers_of(resumed) == numbers_of(whole)
    assert without_seconds("part/metrics.jsonl") == without_seconds("whole/metrics.jsonl")
    # The time of both processes, not of the second alone.
    seconds = [row["seconds"] for row in lines_of("part/metrics.jsonl")]
    assert seconds == sorted(seconds)
    assert resumed["wall_seconds"] >= seconds[-1] > seconds[1]
    assert Path("part/config.json").read_text() == Path("whole/config.json").read_text()


@pytest.mark.slow
def test_resuming_a_finished_run_keeps_what_was_measured_since(finished, monkeypatch, capsys):
    out, _ = finished("vae")
    # As `vae-jax evaluate` would: a bound between two, and a better estimate of the likelihood.
    since = {"bdmc_gap": 1.25, "nll": 3.5, "nll_samples": 5000, "effective_sample_size": 40.0}
    RunFolder(Path("run")).add_to_summary(since)
    code, again, _ = command(monkeypatch, capsys, "vae", "--run-dir run --resume")
    assert code == 0
    first, second = (json.loads(text.splitlines()[-1]) for text in (out, again))
    assert numbers_of(second) == numbers_of(first) | since
    assert json.loads(Path("run/summary.json").read_text()) == second


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(finished, monkeypatch, capsys):
    out, _ = finished("vae")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_models, "fit", die)
        assert command(patch, capsys, "vae", "--run-dir part")[0] == 130
    code, again, _ = command(monkeypatch, capsys, "vae", "--run-dir part --resume")
    assert code == 0
    assert numbers_of(json.loads(again.splitlines()[-1])) == numbers_of(json.loads(out.splitlines()[-1]))


def test_resume_needs_a_folder_that_holds_a_run(monkeypatch, capsys):
    code, _, error = command(monkeypatch, capsys, "vae", "--resume")
    assert code == 2
    assert "--resume requires --run-dir" in error
    code, _, error = command(monkeypatch, capsys, "vae", "--resume --run-dir nowhere")
    assert code == 2
    assert "--run-dir must be the folder of a run, got nowhere: there is no such folder" in error
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("vae", "--data no_such_dataset", "no_such_dataset"),
        ("vae", "--data no_such.npz", "no_such.npz"),
        ("vae", "--latent-dim 0", "--latent-dim must be at least 1, got 0"),
        ("autoencoder", "--latent-dim 0", "--latent-dim must be at least 1, got 0"),
        ("vae", "--batch-size 71", "--batch-size 71 is larger than the 70 training images"),
        ("vae", "--binarization static --likelihood normal", "--binarization static"),
        (
            "vae",
            "--network conv --channels 4 4 4 4",
            "need more than 8 pixels in height and width, got images of 6 x 6",
        ),
        ("vae", "--learning-rate 0", "--learning-rate must be a number above 0"),
        ("beta_vae", "--beta -1", "beta must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_written(
    monkeypatch, capsys, tmp_path, name, arguments, named
):
    before = contents(tmp_path)
    code, out, error = command(monkeypatch, capsys, name, f"--run-dir run {arguments}")
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert named in error
    assert "Traceback" not in error
    assert not Path("run").exists()
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_a_run_that_diverges_exits_with_1_and_says_what_to_do(monkeypatch, capsys, without_figures):
    code, out, error = command(monkeypatch, capsys, "vae", "--run-dir run --learning-rate 1e30")
    assert (code, out) == (1, "")
    assert "training diverged in epoch 1 at step" in error
    assert "lower the learning rate" in error
    assert error.splitlines()[-1] == "Its last finite parameters are in run."
    assert Path("run/checkpoints/1").is_dir()
    assert not Path("run/summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "beta_vae", "autoencoder"])
def test_the_script_runs_on_the_embedded_digits_as_a_command(tmp_path, name):
    words = ["--hidden", "16", "--epochs", "2", "--elbo-samples", "1", "--nll-samples", "2", "--run-dir"]
    finished = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *words, str(tmp_path / "run")],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:vae_jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert set(summary) >= NUMBERS
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 2 * (3600 // 128)
    assert summary["test_images"] == 1000
    # 206 nats a digit for independent pixels of the right means; a model of noise would have 543.
    assert 100 < summary["distortion"] < 240
    assert "epoch 2/2" in finished.stderr
    report = (tmp_path / "run" / "report.html").read_text()
    figures = sorted((tmp_path / "run" / "figures").glob("*.png"))
    assert len(figures) >= 4
    assert report.count("data:image/png;base64,") == len(figures)


@pytest.mark.slow
def test_the_second_start_of_an_experiment_compiles_nothing(tmp_path):
    words = ["--data", "blobs.npz", *SMALL.split(), "--run-dir"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "caches"), "PYTHONPATH": str(ROOT)}
    environment |= {"XLA_FLAGS": SOON_COMPILED, "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(not ORDINARY))}
    programs, seconds = [], []
    for run in ("first", "second"):
        finished = subprocess.run(
            [sys.executable, "-m", "experiments.vae", *words, run],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        programs.append({path.name for path in (tmp_path / "caches/vae_jax").iterdir() if path.suffix != "-atime"})
        seconds.append(json.loads(finished.stdout.splitlines()[-1])["seconds_to_first_step"])
        assert f"first training step {seconds[-1]:.1f} s after the start of the command" in finished.stderr
    assert len(programs[0]) > 10
    assert programs[1] == programs[0]
    assert 0.3 < seconds[1] < seconds[0]


def test_an_image_that_cannot_be_read_in_the_middle_of_a_training_is_one_line(tmp_path, capsys):
    ending = exit_if_training_ends_early(RunFolder(tmp_path / "run"), "--seeds 1", False, "vae-jax train vae --resume")
    with pytest.raises(SystemExit) as ended, ending:
        raise Unreadable("a.png: cannot be used as an image: image file is truncated.")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: a.png: cannot be used as an image: image file is truncated. To continue: vae-jax train vae --resume\n"
    )
