"""Tests of experiments.quantizers: one run for each quantizer, its record, and the reuse of finished runs."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import tyro

from experiments.lib.records import read_record
from runs.commands import contents, script

pytestmark = pytest.mark.usefixtures("in_an_empty_folder", "without_figures")


@pytest.mark.slow
def test_every_row_is_a_run_and_the_record_has_its_numbers(capsys, monkeypatch):
    module = script("quantizers")
    small = {"prior_layers": 1, "prior_width": 8, "prior_heads": 2}
    monkeypatch.setattr(module, "CodeSettings", partial(module.CodeSettings, **small))
    flags = "--data blobs.npz --channels 4 --epochs 1 --prior-epochs 1 --batch-size 20 --runs runs --record record.json"
    monkeypatch.setattr(sys, "argv", ["quantizers.py"])
    options = tyro.cli(module.Options, args=[*flags.split(), "--only", "finite_scalar", "ema_revival"])
    module.main(options)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    record = read_record(Path("record.json"))
    values = {claim.claim: claim.values[0] for claim in record.claims}
    for name in ("finite_scalar", "ema_revival"):
        summary = json.loads(Path(f"runs/{name}/summary.json").read_text())
        for key, (measure, _) in module.MEASURES.items():
            assert values[f"{name}: {measure}"] == printed[name][key] == summary[key]
    before = contents("runs")
    module.main(options)
    assert contents("runs") == before


def test_an_unknown_quantizer_is_refused(capsys):
    module = script("quantizers")
    with pytest.raises(SystemExit) as stop:
        module.main(module.Options(only=("vector", "vqgan")))
    assert stop.value.code == 2
    assert "--only must name one or more of the quantizers vector, ema, ema_revival," in capsys.readouterr().err
    assert set(module.VARIANTS) == set(module.Options().only)
