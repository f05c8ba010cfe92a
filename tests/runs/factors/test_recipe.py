"""Training of models on known factors: a small run to its end, continued, loaded and exported."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from runs.commands import script
from runs.factors.small import SMALL
from vae_jax import cli
from vae_jax.checksums import remove_recorded
from vae_jax.cli.train import parse
from vae_jax.runs import DISENTANGLE, prepare, run
from vae_jax.runs.choices import Optimizer
from vae_jax.runs.config import as_command, settings_of_run
from vae_jax.runs.factors.problem import make_model, make_objective, make_problem, resolve
from vae_jax.runs.factors.scoring import load_mark
from vae_jax.runs.fitting.snapshots import load_members
from vae_jax.runs.fitting.train_models import train_models
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.keys import keys_of
from vae_jax.runs.loading import images_of, load_run, preprocessed
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.runs.reporting.summaries import summary_of_model
from vae_jax.runs.share import export_run
from vae_jax.training import drawn, init_train_state, make_train_step
from vae_jax.training._examples import batch_at
from vae_jax.training._plan import split_key

FIRST, LAST = 1, 2  # marks of the run: epochs of two steps


@pytest.mark.slow
def test_the_summary_has_a_record_of_each_model_and_their_median_and_range(finished):
    prepared, summary = finished
    names = "objective beta seed mig factor_vae_score beta_vae_score dci_disentanglement sap modularity negative_elbo"
    for record, (beta, seed) in zip(summary["models"], ((1, 0), (1, 1), (8, 0), (8, 1)), strict=True):
        assert set(names.split()) | {"rate", "distortion", "udr", "explicitness", "irs"} <= set(record)
        assert (record["objective"], record["beta"], record["seed"]) == ("beta", beta, seed)
        assert record["negative_elbo"] == pytest.approx(record["rate"] + record["distortion"], rel=1e-5)
    values = [record["mig"] for record in summary["models"][2:]]
    assert summary["over_seeds"]["8"]["mig"] == {"median": np.mean(values), "min": min(values), "max": max(values)}
    assert summary["floor"]["factor_vae_score"] < summary["ceiling"]["factor_vae_score"] == 1.0
    assert [row["steps"] for row in summary["by_steps"]] == [2] * 4 + [4] * 4
    assert json.loads((prepared.folder.path / "summary.json").read_text()) == summary
    report = prepared.folder.report.read_text()
    for words in (
        "Information about each factor in each latent",
        "Where each latent responds",
        "FactorVAE score",
        "Scores",
    ):
        assert words in report
    # In the order of the settings: objective and weights, then the training, then the scores.
    assert "--betas 1.0 8.0 --seeds 2 --steps 4 --batch-size 4 --score-every 2" in report


@pytest.mark.slow
def test_a_member_is_the_model_that_its_own_steps_train(finished, few_sprites):
    # Model 2: weight 8, seed 0, four steps one after the other, by the key that the ensemble gives it.
    prepared, _ = finished
    settings = prepared.settings
    problem = make_problem(settings, few_sprites)
    model, optimizer = make_model(settings, problem), DISENTANGLE.optimizer(settings, 4).transformation
    step = jax.jit(make_train_step(model, make_objective(settings, problem, model, 4, 8.0), optimizer))
    keys = split_key(keys_of(0).training)
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(keys.init)
    examples = problem.train_examples
    assert (examples.count, examples.data) == (384, ())
    # Two epochs of two steps: those of a step follow from its number alone.
    for number, indices in enumerate(drawn(keys.train, 0, 4, 384, 4)):
        state, _ = step(state, keys.train, jax.jit(batch_at)(examples, keys.train, number, indices))
    saved = load_mark(prepared, LAST)[2]
    for a, b in zip(jax.tree.leaves(saved), jax.tree.leaves(state.params), strict=True):
        # Adam divides by a gradient's size: where that is nearly 0, rounding decides.
        assert np.isclose(a, b, rtol=2e-3, atol=2e-5).mean() > 0.98


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_and_scores_nothing_twice(finished, tmp_path):
    whole, summary = finished
    half = dataclasses.replace(whole.settings, run_dir=tmp_path / "run")
    begun = prepare(DISENTANGLE, half)
    with ProgressDisplay(2) as display:
        train_models(begun._replace(length=begun.length._replace(marks=(FIRST,))), display)
    begun.folder.unlock()
    places = dataclasses.replace(SMALL, betas=(), run_dir=half.run_dir, resume=True)
    saved = settings_of_run(DISENTANGLE, places, RunFolder(half.run_dir))
    assert saved.betas == (1.0, 8.0)
    resumed = prepare(DISENTANGLE, saved)
    with ProgressDisplay(2) as display:
        train_models(resumed, display)
    for a, b in zip(*(jax.tree.leaves(load_mark(p, LAST)) for p in (whole, resumed)), strict=True):
        np.testing.assert_array_equal(a, b)
    # All scores of the finished run are read from its folder, none is computed again.
    record = whole.folder.read_part("scores/final-1.json") | {"mig": 0.123}
    whole.folder.write_part("scores/final-1.json", record)
    again = run(prepare(DISENTANGLE, dataclasses.replace(whole.settings, resume=True)))
    assert again["models"][1]["mig"] == 0.123 and again["models"][0] == summary["models"][0]


@pytest.mark.slow
def test_each_model_of_a_run_is_loaded_by_its_weight_and_seed_and_exported(finished, tmp_path):
    prepared, summary = finished
    loaded = load_run(prepared.folder.path, seed=1, weight=8.0)
    expected = load_mark(prepared, LAST)[3]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected)
    assert (loaded.config["betas"], loaded.config["seed"], loaded.config["seeds"]) == ((8.0,), 1, 1)
    assert summary_of_model(loaded.summary, loaded.member)["mig"] == summary["models"][3]["mig"]
    export_run(loaded, "safetensors", tmp_path / "out")
    again = load_run(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.params, expected)
    with pytest.raises(ValueError, match=r"has no model with --weight 3.0: its models have weight 1 seed"):
        load_run(prepared.folder.path, weight=3.0)
    # An export that somebody has changed, from a hub that keeps no manifest.
    (tmp_path / "out" / "manifest.json").unlink()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps(config | {"betas": []}))
    with pytest.raises(ValueError, match=r"config.json must hold the weights that the run was trained with, got none"):
        load_run(tmp_path / "out")

    images = images_of(loaded)
    assert images.pixels.shape == (384, 16, 16, 1) and set(images.labels) == {0, 1, 2}
    np.testing.assert_allclose(np.round(255 * np.asarray(images.xs)), images.pixels)
    np.testing.assert_array_equal(preprocessed(loaded, images.pixels), images.xs)


@pytest.mark.slow
def test_the_report_of_a_run_is_made_anew(finished, capsys, monkeypatch):
    prepared, _ = finished
    before, summary = prepared.folder.report.read_text(), prepared.folder.summary()
    prepared.folder.report.unlink()
    monkeypatch.setattr("sys.argv", ["vae-jax", "report", str(prepared.folder.path)])
    cli.main()
    assert capsys.readouterr().out == f"report: {prepared.folder.report}\n"
    assert prepared.folder.report.read_text() == before
    assert prepared.folder.summary()["models"] == summary["models"]
    card = (prepared.folder.path / "MODEL.md").read_text()
    assert "| setting | value |" in card and "test images" not in card
    medians = [f"{summary['over_seeds'][weight]['negative_elbo']['median']:.2f}" for weight in ("1", "8")]
    assert f"| negative ELBO, nats per image | {' | '.join(medians)} |" in card


@pytest.mark.slow
def test_a_run_whose_models_have_all_diverged_says_so_and_can_be_resumed(tmp_path, without_figures):
    diverging = lambda settings, num_steps: Optimizer(optax.sgd(lambda step: jnp.where(step < 3, 1e-3, jnp.nan)))
    recipe = DISENTANGLE._replace(optimizer=diverging)
    settings = dataclasses.replace(SMALL, betas=(1.0,), seeds=1, run_dir=tmp_path / "run")
    for again in (False, True):
        summary = run(prepare(recipe, dataclasses.replace(settings, resume=again)))
        assert [model["diverged"] for model in summary["models"]] == [4]
        assert int(load_run(tmp_path / "run").settings.steps) == 4


@pytest.mark.slow
def test_a_damaged_snapshot_on_the_way_costs_its_scores_and_not_the_run(finished, tmp_path, capsys, without_figures):
    whole, _ = finished
    before = [whole.folder.read_part(f"scores/final-{index}.json")["mig"] for index in range(4)]
    shutil.copytree(whole.folder.path, tmp_path / "run")
    for name in ("coarse-2-0", "coarse-2-1", "coarse-2-2", "coarse-2-3"):
        remove_recorded(tmp_path / "run", f"scores/{name}.json")
    next((tmp_path / "run/snapshots/step-2/1/best").glob("_METADATA")).unlink()
    settings = dataclasses.replace(whole.settings, run_dir=tmp_path / "run", resume=True)
    again = run(prepare(DISENTANGLE, settings))
    assert "seed 1, 2 steps: not scored (the checkpoint " in capsys.readouterr().err
    assert [model["mig"] for model in again["models"]] == before
    assert ["mig" in row for row in again["by_steps"]] == 4 * [False] + 4 * [True]


@pytest.mark.slow
def test_an_unfinished_run_with_a_damaged_snapshot_is_opened_at_an_earlier_one_with_a_word(finished, tmp_path, capsys):
    whole, _ = finished
    shutil.copytree(whole.folder.path, tmp_path / "run")
    (tmp_path / "run/snapshots/step-4/1/best/_METADATA").unlink()
    folder = RunFolder(tmp_path / "run")
    found = load_members(DISENTANGLE, whole.settings, whole.model, folder, whole.length, unfinished=True)
    assert f"{tmp_path}/run/snapshots/step-4 is damaged: an earlier state is used" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, found, load_mark(whole, FIRST))


@pytest.mark.parametrize(
    "changes",
    [
        {"whole_table": False, "changed_factors": None, "objective": "ada_gvae"},
        {"betas": (), "lambdas": (2.0, 5.0), "objective": "dip_i", "schedule": "cosine"},
    ],
)
def test_the_command_of_a_run_gives_its_settings_again(changes, few_sprites):
    settings = resolve(dataclasses.replace(SMALL, **changes), few_sprites)
    words = as_command(DISENTANGLE, settings).split()
    assert words[:3] == ["vae-jax", "train", "disentangle"]
    assert parse(DISENTANGLE, DISENTANGLE.defaults, None, "", words[3:]) == settings


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capsys):
    module = script("disentangle")
    monkeypatch.setattr("sys.argv", ["disentangle.py", "--steps", "1009", "--run-dir", str(tmp_path / "other")])
    with pytest.raises(SystemExit) as stop:
        module.main(module.RECIPE, module.__doc__)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ""
    assert (
        captured.err == "error: --steps must have a divisor between 10 and 100 (a multiple of 100 has one), got 1009\n"
    )
