"""Tests of experiments.conditional: its summary and record, its reuse of finished runs, and bad options."""

import json
from functools import partial
from pathlib import Path

import pytest

from experiments import conditional
from experiments.lib.records import read_record
from vae_jax.runs import Settings
from vae_jax.runs.folder import RunFolder

NAMES = ["nll_given_label", "nll_marginal", "nll_unconditional", "nll_gain", "classification_accuracy"]
PARTS_OF_GAIN = ["label_information", "twin_excess"]
ANNEALED = ["annealed_nll_given_label", "annealed_nll_unconditional", "annealed_nll_gain", "inference_gain"]


class Trains(Exception):
    """Signals that a run would train; its argument is the number of epochs."""


def options(folder: Path, **changes) -> conditional.Options:
    tiny = {"epochs": 2, "test_images": 20, "nll_samples": 5, "ais_images": 2, "record": folder / "record.json"}
    return conditional.Options(run_dir=folder, **tiny | changes)


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_other_epochs_train_on(tmp_path, monkeypatch, capsys):
    # Figures and importance samples of runs have their own tests, and take longer than the training here.
    monkeypatch.setattr(conditional, "Settings", partial(Settings, nll_samples=0))
    monkeypatch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])

    def summary_of(**changes):
        conditional.main(options(tmp_path, **changes))
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    summary = summary_of()
    assert set(summary) == {name + end for name in NAMES + PARTS_OF_GAIN + ANNEALED for end in ("", "_standard_error")}
    assert summary["nll_gain"] == pytest.approx(summary["nll_unconditional"] - summary["nll_given_label"], abs=1e-3)
    assert summary["nll_gain"] == pytest.approx(summary["label_information"] + summary["twin_excess"], abs=1e-3)
    assert summary["label_information"] == pytest.approx(summary["nll_marginal"] - summary["nll_given_label"], abs=1e-3)
    # Two epochs: below the 543 nats of coin flips, above what 100 epochs reach.
    assert 100 < summary["nll_given_label"] < 250 and 100 < summary["nll_unconditional"] < 250
    assert 0.3 < summary["classification_accuracy"] <= 1 and summary["nll_gain_standard_error"] > 0
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    claims = [claim.claim for claim in read_record(tmp_path / "record.json").claims]
    error = summary["nll_gain_standard_error"]
    assert f"gain from the label: -log p(x) minus -log p(x | y) (standard error over the images {error:.2f})" in claims
    assert claims[-1].startswith("error rate of classification by Bayes' rule (95 % interval ")

    def trains(prepared):  # replaces the training
        prepared.folder.unlock()
        raise Trains(prepared.settings.epochs)

    monkeypatch.setattr(conditional, "run", trains)
    assert summary_of() == summary
    how = json.loads((tmp_path / "seed0" / "measured.json").read_text())["how"]
    assert how[0] == "digits" and how[1] == RunFolder(tmp_path / "seed0" / "given_label").about()["data_fingerprint"]
    with pytest.raises(Trains, match="3"):
        summary_of(epochs=3)
    with pytest.raises(SystemExit) as left:
        summary_of(epochs=1)
    said = capsys.readouterr().err
    assert left.value.code == 2 and "--epochs 1:" in said and "has trained 2 epochs already" in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"test_images": 1}, "--test-images must be at least 2, got 1"),
        ({"nll_samples": 0}, "--nll-samples must be at least 1, got 0"),
        ({"ais_images": 1}, "--ais-images must be at least 2, or 0, got 1"),
        ({"ais_images": -1}, "--ais-images must be at least 2, or 0, got -1"),
        ({"seeds": ()}, "--seeds must be one or more different numbers, got none"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_an_option_out_of_range_is_one_line_of_error_and_nothing_is_written(wrong, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        conditional.main(options(tmp_path / "run", **wrong))
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.startswith("error: ") and message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
