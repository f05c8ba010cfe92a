"""Tests of experiments.anomaly: its areas are those of the file of `vae-jax score`, and bad options are refused."""

import csv
import json

import numpy as np
import pytest

from cli.conftest import call
from experiments import anomaly
from experiments.lib.records import read_record

COLUMNS = {"ELBO": "elbo", "log p(x)": "log_likelihood", "reconstruction error": "distortion", "squared error": "mse"}


def write_data(folder):
    """Blobs with the labels 0 and 1, and blank images with the label 2."""
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.integers(0, 2, (300, 2, 2)), np.full((3, 3), 230)) + rng.integers(0, 25, (300, 6, 6))
    labels = np.arange(300) % 3
    shapes[labels == 2] = 0
    shapes = shapes.astype(np.uint8)
    np.savez(
        folder / "data.npz",
        train=shapes[:240],
        test=shapes[240:],
        train_labels=labels[:240],
        test_labels=labels[240:],
    )
    np.savez(folder / "unlabeled.npz", train=shapes[:240], test=shapes[240:])


@pytest.mark.slow
def test_the_areas_are_those_of_the_scores_of_the_command(tmp_path, monkeypatch, capsys, without_figures):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    options = anomaly.Options(
        "data.npz", left_out=(2,), seeds=1, epochs=2, nll_samples=5, record=tmp_path / "made.json"
    )
    anomaly.main(options)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["2"]
    assert call("score", "runs/anomaly/2", "runs/anomaly/test.npz", "--nll-samples", 5, "--output", "scores.csv") == 0
    with open("scores.csv") as file:
        rows = list(csv.DictReader(file))
    column = lambda name: np.array([float(row[name]) for row in rows])
    unusual = column("label") == 2
    assert unusual.sum() == 20 and len(rows) == 60
    for score, name in COLUMNS.items():
        # Share of pairs in which the left-out label has the lower likelihood or the larger error; ties count half.
        values = column(name) if name in ("distortion", "mse") else -column(name)
        pairs = values[unusual][:, None] - values[~unusual]
        assert found[0][score] == pytest.approx(np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0), abs=1e-3)
    excess = column("elbo")[unusual].mean() - column("elbo")[~unusual].mean()
    assert found[0][anomaly.EXCESS] == pytest.approx(excess, abs=1e-2)
    # No training image was blank.
    assert np.load("runs/anomaly/without_2.npz")["train"].any(axis=(1, 2)).all()
    record = read_record(tmp_path / "made.json")
    claims = {claim.claim: list(claim.values) for claim in record.claims}
    assert claims["2 left out: AUROC of ELBO"] == [found[0]["ELBO"]] and list(record.seeds) == [0]

    def trains(prepared):
        raise AssertionError("a finished run trained again")

    monkeypatch.setattr(anomaly, "run", trains)
    anomaly.main(options)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["2"] == found


def test_bad_options_are_one_line_of_error_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    for wrong, message in (
        ({"left_out": (3,)}, "--left-out must be different labels of 0 1 2, got 3"),
        ({"left_out": ()}, "--left-out must be different labels of 0 1 2, got none"),
        ({"left_out": (1, 1)}, "--left-out must be different labels of 0 1 2, got 1 1"),
        ({"nll_samples": 0}, "--nll-samples must be at least 1, got 0"),
        ({"data": "unlabeled.npz"}, "--data must have a label for each image, got unlabeled.npz without labels"),
    ):
        with pytest.raises(SystemExit) as left:
            anomaly.main(anomaly.Options(**{"data": "data.npz", "left_out": (2,)} | wrong))
        said = capsys.readouterr().err
        assert left.value.code == 2 and message in said and said.count("\n") == 1, said
    assert not (tmp_path / "runs").exists()
