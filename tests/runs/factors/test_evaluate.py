"""A finished run scored against known factors: one of a grid again, one of another recipe for the first time."""

import dataclasses
import json

import jax
import pytest

from runs.commands import ROOT, command
from runs.factors.small import SMALL
from vae_jax import cli
from vae_jax.evaluation.disentanglement import measure_disentanglement
from vae_jax.runs import DISENTANGLE, Evaluate
from vae_jax.runs.config import run_config
from vae_jax.runs.factors.evaluate import prepare_scoring
from vae_jax.runs.factors.problem import resolve
from vae_jax.runs.factors.scoring import load_mark, scorer_of, table_with_progress
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.keys import keys_of


@pytest.mark.slow
@pytest.mark.parametrize("metrics", ["", " --metrics disentanglement"])
def test_evaluate_scores_a_finished_run_again_with_other_numbers(metrics, finished, monkeypatch, capsys):
    prepared, summary = finished
    monkeypatch.setattr("sys.argv", f"vae-jax evaluate {prepared.folder.path} --metrics likelihood".split())
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "error: --metrics likelihood needs test images, which RUN " in capsys.readouterr().err
    points = 120
    words = f"vae-jax evaluate {prepared.folder.path}{metrics} --points {points} --dci-points 100"
    monkeypatch.setattr("sys.argv", words.split())
    cli.main()
    scored = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scored["points"] == points
    key = keys_of(prepared.settings.seed).fitting
    table = table_with_progress(scorer_of(prepared), load_mark(prepared, 2)[3])
    own = measure_disentanglement(table, jax.random.split(key, 3)[2], points=points, fast=True)
    assert scored["models"][3]["mig"] == own["mig"] != summary["models"][3]["mig"]
    assert [r["negative_elbo"] for r in scored["models"]] == [r["negative_elbo"] for r in summary["models"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_evaluate_scores_runs_of_other_recipes_on_sprites(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    small = "--hidden 8 --latent-dim 2 --epochs 1 --batch-size 10 --elbo-samples 1 --nll-samples 0 --validation-size 10"
    run_dir = tmp_path / "run"
    code, _, err = command(monkeypatch, capsys, name, f"--data sprites --stream --run-dir {run_dir}", small=small)
    assert code == 0, err
    words = f"vae-jax evaluate {run_dir} --metrics disentanglement --points 100"
    monkeypatch.setattr("sys.argv", words.split())
    cli.main()
    captured = capsys.readouterr()
    summary = json.loads(captured.out.splitlines()[-1])
    (line,) = (line for line in captured.err.splitlines() if line.startswith("MIG "))
    expected = [summary["mig"], summary["floor"]["mig"], summary["ceiling"]["mig"]]
    assert [float(word) for word in line.split()[-3:]] == pytest.approx(expected, abs=6e-4)
    assert {"mig", "factor_vae_score", "dci_disentanglement", "sap", "udr"} - set(summary) == {"udr"}
    assert (summary["points"], summary["dci_points"]) == (100, 100)
    for again in ("", f"vae-jax report {run_dir}"):  # which draws the figures of the factors again
        if again:
            monkeypatch.setattr("sys.argv", again.split())
            cli.main()
        report = (run_dir / "report.html").read_text()
        assert "Where each latent responds" in report and "mutual information gap (MIG)" in report


def test_a_run_without_factors_is_refused_with_what_remains(tmp_path, few_sprites):
    RunFolder(tmp_path).create({"experiment": "vae", "data": "digits"})
    options = Evaluate(tmp_path, metrics="disentanglement")
    with pytest.raises(
        ValueError, match=r"known factors \(sprites, .*trained on digits; leave out --metrics to measure active units"
    ):
        prepare_scoring(options)
    with pytest.raises(ValueError, match="--points must be at least 100, got 7"):
        prepare_scoring(dataclasses.replace(options, points=7))
    (tmp_path / "config.json").unlink()
    RunFolder(tmp_path).create(run_config(DISENTANGLE, resolve(SMALL, few_sprites)))
    with pytest.raises(ValueError, match=r"has not finished .*vae-jax train disentangle --run-dir"):
        prepare_scoring(options)
