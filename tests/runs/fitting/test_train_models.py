"""Runs of several models, and of images that stay on disk, as commands."""

import dataclasses
import json
import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from runs.commands import SCRIPTS, SMALL, command, contents, lines_of, numbers_of, without_seconds
from vae_jax import memory
from vae_jax.data import load_images
from vae_jax.runs.fitting import in_folder
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.problem import make_problem
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.training.checkpoints import load_best

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


@pytest.mark.slow
def test_several_seeds_train_as_one_program_and_each_is_the_run_of_its_seed_alone(monkeypatch, capsys, without_figures):
    code, out, err = command(monkeypatch, capsys, "vae", "--run-dir many --seed 5 --seeds 3")
    assert code == 0
    assert "3 models at once" in err
    assert "mean of 3 models" in err
    summary = json.loads(out.splitlines()[-1])
    assert summary["seeds"] == [5, 6, 7]
    assert [model["seed"] for model in summary["models"]] == [5, 6, 7]
    for model in summary["models"]:
        seed = model["seed"]
        alone = json.loads(command(monkeypatch, capsys, "vae", f"--run-dir {seed} --seed {seed}")[1].splitlines()[-1])
        for name in ("negative_elbo", "rate", "distortion", "nll"):
            np.testing.assert_allclose(model[name], alone[name], rtol=1e-4)
        assert (model["best_epoch"], model["steps"]) == (alone["best_epoch"], alone["steps"])
        rows = [row for row in lines_of("many/metrics.jsonl") if row["seed"] == seed]
        for row, own in zip(rows, lines_of(f"{seed}/metrics.jsonl"), strict=True):
            np.testing.assert_allclose(row["validation/loss"], own["validation/loss"], rtol=1e-4)
    elbos = [model["negative_elbo"] for model in summary["models"]]
    np.testing.assert_allclose(summary["negative_elbo"], np.mean(elbos), rtol=1e-6)
    np.testing.assert_allclose(summary["negative_elbo_standard_deviation"], np.std(elbos, ddof=1), rtol=1e-6)
    assert np.ptp(elbos) > 0.01
    losses = {row["seed"]: [] for row in lines_of("many/metrics.jsonl")}
    for row in lines_of("many/metrics.jsonl"):
        losses[row["seed"]].append(row["validation/loss"])
    assert summary["shown_seed"] == min(losses, key=lambda seed: min(losses[seed]))
    assert "<td>7</td>" in Path("many/report.html").read_text()
    # The run is finished: to resume it trains nothing and changes no number.
    before = contents("many/checkpoints")
    code, out, _ = command(monkeypatch, capsys, "vae", "--run-dir many --resume")
    assert code == 0
    assert numbers_of(json.loads(out.splitlines()[-1])) == numbers_of(summary)
    assert contents("many/checkpoints") == before


@pytest.mark.slow
def test_what_is_fitted_after_training_is_fitted_for_each_of_several_models(monkeypatch, capsys, without_figures):
    assert command(monkeypatch, capsys, "autoencoder", "--run-dir many --seeds 2")[0] == 0
    settings = SCRIPTS["autoencoder"].RECIPE.defaults
    model = SCRIPTS["autoencoder"].RECIPE.model(
        dataclasses.replace(settings, hidden=(8,), latent_dim=2),
        make_problem(
            resolve(dataclasses.replace(settings, batch_size=10), load_images("blobs.npz")), load_images("blobs.npz")
        ),
    )
    best = load_best(
        Path("many/checkpoints"), jax.eval_shape(jax.vmap(model.init), jax.random.split(jax.random.key(0)))
    )
    fitted = np.asarray(best["buffers"]["prior_mean"])
    assert fitted.shape == (2, 2)
    assert np.abs(fitted[0] - fitted[1]).max() > 1e-3


@pytest.mark.slow
def test_more_models_than_fit_are_refused_in_one_line_and_leave_no_folder(monkeypatch, capsys):
    monkeypatch.setattr(memory, "memory_bytes", lambda: 200_000)
    code, out, error = command(monkeypatch, capsys, "vae", "--run-dir run --seeds 50")
    assert (code, out) == (2, "")
    last = error.splitlines()[-1]
    assert re.match(
        r"error: --seeds 50: 50 models at once need 0.\d\d GiB, .*, enough for \d+: train them in several", last
    )
    assert not Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_a_run_on_streamed_images_is_measured_resumed_and_evaluated_as_one_in_memory(
    monkeypatch, capsys, without_figures, name
):
    with np.load("blobs.npz") as blobs:
        np.save("blobs.npy", blobs["train"])

    def interrupt(self, rows):
        if rows[0]["epoch"] == 2:
            raise KeyboardInterrupt

    small = SMALL.replace("--nll-samples 2", "--nll-samples 2 --data blobs.npy --stream")
    code, out, err = command(monkeypatch, capsys, name, "--run-dir whole", small=small)
    assert code == 0
    assert "62 training, 10 validation, 8 test images" in err  # as the same file in memory has them
    whole = json.loads(out.splitlines()[-1])
    with monkeypatch.context() as patch:
        patch.setattr(in_folder, "OrbaxCheckpoints", partial(in_folder.OrbaxCheckpoints, every_seconds=0.0))
        patch.setattr(ProgressDisplay, "show", interrupt)
        assert command(patch, capsys, name, "--run-dir part", small=small)[0] == 130
    code, out, _ = command(monkeypatch, capsys, name, "--run-dir part --resume", small="--data blobs.npy")
    assert code == 0
    assert numbers_of(json.loads(out.splitlines()[-1])) == numbers_of(whole)
    assert without_seconds("part/metrics.jsonl") == without_seconds("whole/metrics.jsonl")
    in_memory = small.replace(" --stream", "")
    code, out, _ = command(monkeypatch, capsys, name, "--run-dir memory", small=in_memory)
    other = json.loads(out.splitlines()[-1])
    # Other batches of the same images, and a mean image that differs by rounding alone.
    assert (other["steps"], other["test_images"]) == (whole["steps"], whole["test_images"])
    assert 0 < abs(other["distortion"] - whole["distortion"]) < 0.1 * whole["distortion"]
