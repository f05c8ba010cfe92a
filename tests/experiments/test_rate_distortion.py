"""Tests of experiments.rate_distortion: its claims on trained models, and its reuse of finished runs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro

from experiments.lib.records import read_record
from vae_jax.runs import open_run
from vae_jax.runs.images import kind as run_images

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Module experiments.rate_distortion in a folder of small images, without figures of the single models."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_images, "model_figures", lambda subject, key: [])
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.integers(0, 2, (600, 3, 2)), np.full((2, 3), 230)) + rng.integers(0, 25, (600, 6, 6))
    np.savez(tmp_path / "blobs.npz", train=shapes[:500].astype(np.uint8), test=shapes[500:].astype(np.uint8))
    import experiments.rate_distortion

    return experiments.rate_distortion


def options(script, *arguments):
    fixed = ["--data", "blobs.npz", "--hidden", "32", "--latent-dim", "4", "--runs", "runs", "--record", "record.json"]
    return tyro.cli(script.Options, args=[*fixed, *arguments])


@pytest.mark.slow
def test_rate_falls_and_distortion_rises_with_beta_and_the_bound_is_best_near_1(script, capsys, monkeypatch):
    sweep = options(script, "--betas", "0.05", "20", "1", "4", "--epochs", "60")
    script.main(sweep)
    record = read_record(Path("record.json"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["claims"][0]["values"] == [1.0]
    assert record.details["beta"] == [0.05, 1.0, 4.0, 20.0]
    (rate,), (distortion,) = record.details["rate"], record.details["distortion"]
    # Six bits are log 64 = 4.2 nats of rate; at beta = 20 no rate is left.
    assert rate[0] > rate[1] + 1 > rate[2] + 1 and rate[2] > rate[3]
    assert distortion[0] < distortion[1] < distortion[2] < distortion[3]
    assert rate[3] < 0.05
    assert {claim.claim: list(claim.values) for claim in record.claims[2:]} == {
        "test negative ELBO at beta = 1 minus that of the best beta": [0.0],
        "neighboring betas whose rates are out of order": [0],
        "neighboring betas whose distortions are out of order": [0],
    }
    assert all(claim.reached for claim in record.claims[2:])
    assert Path("runs/rate_distortion.png").exists()
    # Each model of the sweep is a run folder.
    assert open_run(Path("runs/beta-4-seed0"))[0].settings.beta == 4.0

    # The same command trains nothing again; a command with one more beta trains only its model.
    ran = []
    monkeypatch.setattr(script, "run", lambda prepared: ran.append(prepared.settings.beta) or {})
    script.main(sweep)
    assert ran == []
    assert read_record(Path("record.json")).details == record.details
    with pytest.raises(KeyError):  # the replaced `run` returns no numbers
        script.main(options(script, "--betas", "0.05", "1", "2", "4", "--epochs", "60"))
    assert ran == [2.0]


def summaries(rate, distortion):
    return [
        {"rate": r, "distortion": d, "wall_seconds": 1.0, "test_images": 100}
        for r, d in zip(rate, distortion, strict=True)
    ]


def test_the_record_counts_neighbors_that_are_out_of_order(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "0", "1"])
    sweep = options(script, "--betas", "4", "0.5", "1", "--seeds", "0", "1")
    good, bad = summaries([30, 25, 10], [80, 83, 105]), summaries([30, 30.2, 31], [80, 75, 105])
    record = script.make_record(sweep, [good, bad])
    assert [list(claim.values) for claim in record.claims] == [[1.0, 1.0], [108.0, 105.2], [0.0, 0.0], [0, 1], [0, 1]]
    assert [claim.reached for claim in record.claims] == [None, None, True, False, False]
    assert record.command == "python -m experiments.rate_distortion --seeds 0 1"
    assert (list(record.seeds), list(record.wall_seconds)) == ([0, 1], [3.0, 3.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--betas", "0.5", "2"], "--betas must be different numbers, 1 among them"),
        (["--betas", "1", "1"], "--betas must be different numbers, 1 among them"),
        (["--seeds"], "--seeds must be one or more different numbers"),
        (["--betas", "1", "-2"], "beta must be at least 0, got -2"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(script, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        script.main(options(script, *arguments))
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
