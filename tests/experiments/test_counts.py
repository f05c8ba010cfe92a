"""Tests of experiments.counts: a short measurement, its record, and bad options."""

import json
import sys

import numpy as np
import pytest

from experiments import counts
from experiments.lib.count_model import LIKELIHOODS
from experiments.lib.records import read_record

NAMES = ("negative binomial", "integrated Normal")


@pytest.mark.slow
def test_a_short_measurement_is_below_the_truth_and_is_made_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(counts, "LIKELIHOODS", {name: LIKELIHOODS[name] for name in NAMES})
    monkeypatch.setattr(counts, "COLUMNS", 4)
    tiny = {"seeds": (3,), "rows": 2_000, "test_rows": 200, "epochs": 5, "temperatures": 30, "nll_samples": 30}
    options = counts.Options(**tiny, run_dir=tmp_path / "runs", record=tmp_path / "made.json")
    counts.main(options)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    claims = {claim.claim: claim for claim in read_record(tmp_path / "made.json").claims}
    assert printed == {name: claim.mean for name, claim in claims.items()}
    upper = printed["true log p(x): lower bound by annealing"] + printed["true log p(x): upper minus lower bound"]
    assert abs(printed["true log p(x): upper minus lower bound"]) < 0.2
    for name in NAMES:
        value, shortfall = printed[f"{name}: log p(x)"], printed[f"{name}: shortfall from the true log p(x)"]
        assert shortfall == pytest.approx(100 * (upper - value) / -upper, rel=1e-3)
        # Five epochs: below the truth, but near it.
        assert -0.5 < shortfall < 15
    monkeypatch.setattr(counts, "fit", None)
    counts.main(options)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == printed


def test_the_record_compares_the_means_over_rows(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "0", "1"])
    rows = {name: [-12.0, -10.0] for name in LIKELIHOODS} | {"lower": [-10.0, -8.0], "upper": [-10.0, -6.0]}
    rows["integrated Normal"] = [-14.0, -11.0]
    done = [{"rows": rows, "seconds": 1.0}, {"rows": rows, "seconds": 2.0}]
    record = counts.make_record(counts.Options(seeds=(0, 1), test_rows=2), done)
    claims = {claim.claim: (claim.values, claim.reached) for claim in record.claims}
    assert claims["true log p(x): upper minus lower bound"] == ([1.0, 1.0], None)
    assert claims["negative binomial: shortfall from the true log p(x)"] == ([37.5, 37.5], False)
    assert claims["Poisson: shortfall from the true log p(x)"] == ([37.5, 37.5], None)
    # Differences of -2 and -1: their standard error is sqrt(1 / 2) / sqrt(2).
    difference = "log p(x): integrated Normal minus negative binomial (standard error over the rows at most 0.50)"
    assert claims[difference] == ([-1.5, -1.5], True)
    assert record.command == "python -m experiments.counts --seeds 0 1" and record.wall_seconds == [1.0, 2.0]
    np.testing.assert_array_equal(record.seeds, [0, 1])


def test_bad_options_are_one_line_of_error_and_nothing_is_written(tmp_path, capsys):
    for wrong, message in (
        ({"rows": 1_279}, "--rows must be at least 1,280, got 1,279"),
        ({"test_rows": 1}, "--test-rows must be at least 2, got 1"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"temperatures": 0}, "--temperatures must be at least 1, got 0"),
        ({"nll_samples": 0}, "--nll-samples must be at least 1, got 0"),
        ({"seeds": ()}, "--seeds must be one or more different numbers, none below 0, got none"),
        ({"seeds": (1, -2)}, "--seeds must be one or more different numbers, none below 0, got 1 -2"),
    ):
        with pytest.raises(SystemExit) as left:
            counts.main(counts.Options(**wrong, run_dir=tmp_path / "runs"))
        said = capsys.readouterr().err
        assert left.value.code == 2 and message in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()
