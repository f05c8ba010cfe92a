"""Runs that an earlier version made (format 3, before there were recipes), in earlier/*.zip: they are used and go on.

Their networks are small: of the runs on known factors they had to be made so by hand, here as when they were made.
"""

import hashlib
import json
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import vae_jax
from runs.finished_runs import call
from vae_jax import cli
from vae_jax.cli import train
from vae_jax.networks import mlp_encoder
from vae_jax.runs import BETA_VAE, VAE, Settings
from vae_jax.runs.choices import objectives
from vae_jax.runs.factors import problem
from vae_jax.runs.folder import FORMAT
from vae_jax.runs.images import kind

# The run, the model of it, what its parameters were as that version loaded them, and the settings that have changed.
MODELS = [
    ("vae", {}, "e1657ab92fee62ce", {"objective": "elbo", "posterior": "normal", "prior": "normal", "beta": None}),
    ("beta_vae", {"seed": 0}, "551b2f70d21505da", {"objective": "beta", "beta": 2.0}),
    ("beta_vae", {"seed": 1}, "67c075726b5128a8", {"objective": "beta", "beta": 2.0}),
    ("autoencoder", {}, "d3f3b041c2a250a0", {"objective": "reconstruction", "posterior": "delta", "prior": "fitted"}),
    ("vq_vae", {}, "6ec783a19c2803e9", {"quantizer": "ema", "prior": "transformer"}),
    ("disentangle_factor", {"weight": 10.0}, "d5d63377c8b44fd0", {"objective": "factor", "gammas": (10.0,)}),
    ("disentangle_factor", {"weight": 30.0}, "eb0ff47c0eb99380", {"objective": "factor", "gammas": (30.0,)}),
    ("disentangle_tc", {}, "909d37d13df0d9a8", {"objective": "beta_tc", "betas": (6.0,), "gammas": (), "lambdas": ()}),
]
RUNS = tuple(dict.fromkeys(name for name, *_ in MODELS))


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setattr(problem, "_CHANNELS", (2, 2, 2, 2))
    monkeypatch.setattr(problem, "_HIDDEN", 4)
    monkeypatch.setattr(objectives, "discriminator", lambda latent_dim: mlp_encoder((latent_dim,), 1, (4,)))


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """Puts a run, with its images, into the current folder as `run`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kind, "model_figures", lambda subject, key: [])

    def unpack(name):
        with zipfile.ZipFile(Path(__file__).parent / "earlier" / f"{name}.zip") as packed:
            packed.extractall()
        return Path("run")

    return unpack


def digest(params):
    """Digest of the bits of all arrays and of the paths to them."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(("name", "which", "expected", "settings"), MODELS)
def test_the_same_parameters_are_loaded_with_settings_of_this_version(name, which, expected, settings, unpacked):
    _, params, config = vae_jax.load(unpacked(name), **which)
    assert digest(params) == expected
    assert {field: config[field] for field in settings} == settings


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_listed_and_shown(name, unpacked, capsys):
    run = unpacked(name)
    before = json.loads((run / "summary.json").read_text())
    assert call(cli.main, "show", str(run), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["summary"] == before
    assert call(cli.main, "show", str(run)) == 0
    assert call(cli.main, "list", ".", "--json") == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (listed["state"], listed["experiment"]) == ("finished", name.partition("_factor")[0].partition("_tc")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "beta_vae"])
def test_a_run_is_measured_further(name, unpacked, capsys):
    run = unpacked(name)
    before = json.loads((run / "summary.json").read_text())
    words = ["--nll-samples", "20", "--ais-images", "0", "--surgery-points", "10"]
    assert call(cli.main, "evaluate", str(run), *words) == 0
    after = json.loads(capsys.readouterr().out.splitlines()[-1])
    # If the run has several models, the one that the figures show is measured.
    own = lambda summary: next(m for m in summary.get("models", [summary]) if m["seed"] == after.get("shown_seed", 0))
    assert own(after)["negative_elbo"] == pytest.approx(own(before)["negative_elbo"], rel=1e-5)
    assert own(after)["nll_samples"] == 20 and own(after)["nll"] < own(after)["negative_elbo"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["disentangle_factor", "disentangle_tc"])
def test_a_run_on_known_factors_is_scored_again_and_its_records_name_the_weight(name, unpacked, capsys):
    run, word = unpacked(name), {"disentangle_factor": "gamma", "disentangle_tc": "beta"}[name]
    before = json.loads((run / "summary.json").read_text())["models"]
    assert call(cli.main, "evaluate", str(run), "--points", "100", "--dci-points", "100") == 0
    after = json.loads(capsys.readouterr().out.splitlines()[-1])["models"]
    assert [(record["seed"], record[word]) for record in after] == [(m["seed"], m["beta"]) for m in before]
    for score in ("mig", "factor_vae_score", "negative_elbo"):
        assert [record[score] for record in after] == pytest.approx([record[score] for record in before], rel=1e-4)


@pytest.mark.slow
def test_the_report_is_made_anew(unpacked, capsys):
    run = unpacked("vae")
    before = json.loads((run / "summary.json").read_text())
    assert call(cli.main, "report", str(run)) == 0
    assert f"{before['negative_elbo']:.2f}" in (run / "MODEL.md").read_text()
    assert json.loads((run / "summary.json").read_text()) == before
    report = (run / "report.html").read_text()
    assert "vae-jax train vae --data blobs.npz " in report and " --hidden 4 --latent-dim 2 " in report


@pytest.mark.slow
def test_a_run_is_continued_with_more_epochs_and_written_in_the_format_of_this_version(unpacked, capsys):
    run = unpacked("vae")
    before = (run / "metrics.jsonl").read_text().splitlines()
    words = f"train vae --run-dir {run} --resume --accept-versions --epochs 4".split()
    assert call(cli.main, *words) == 0
    rows = (run / "metrics.jsonl").read_text().splitlines()
    assert rows[:2] == before and len(rows) == 4
    config = json.loads((run / "config.json").read_text())
    assert (config["format"], config["epochs"], config["objective"]) == (FORMAT, 4, "elbo")
    assert json.loads(capsys.readouterr().out)["epochs"] == 4
    assert vae_jax.load(run)[2]["epochs"] == 4


def test_a_damaged_configuration_is_restored_with_the_settings_of_this_version(unpacked, capsys):
    run = unpacked("vae")
    (run / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a run of vae, not of beta_vae"):
        train._settings_to_resume(BETA_VAE, Settings(run_dir=run, resume=True))
    settings = train._settings_to_resume(VAE, Settings(run_dir=run, resume=True))
    assert (settings.objective, settings.epochs, settings.latent_dim) == ("elbo", 2, 2)
    assert "restored from the checkpoint" in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_on_known_factors_is_found_finished(unpacked, capsys):
    run = unpacked("disentangle_factor")
    before = json.loads((run / "summary.json").read_text())
    assert call(cli.main, *f"train disentangle --run-dir {run} --resume --accept-versions".split()) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["models"] == before["models"] and after["by_steps"] == before["by_steps"]
    assert [vae_jax.load(run, weight=weight)[2]["gammas"] for weight in (10.0, 30.0)] == [(10.0,), (30.0,)]
