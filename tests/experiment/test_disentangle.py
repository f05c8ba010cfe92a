"""The disentanglement experiment: a small one to its end, continued, scored again, and what it refuses."""

import contextlib
import dataclasses
import io
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tyro
from joblib import parallel_config
from sklearn.ensemble import GradientBoostingClassifier

from experiment.commands import ROOT, command, script
from vae_jax import cli
from vae_jax.checksums import remove_recorded
from vae_jax.data import _factor_sets as factor_sets
from vae_jax.data import sprites
from vae_jax.data._factors import factors_of, index_of
from vae_jax.evaluation.disentanglement import measure_disentanglement
from vae_jax.evaluation.disentanglement._table import _encode_images
from vae_jax.experiment import Evaluate
from vae_jax.experiment.disentanglement import settings as s
from vae_jax.experiment.disentanglement import training
from vae_jax.experiment.disentanglement.evaluate import prepare_scoring
from vae_jax.experiment.disentanglement.methods import make_examples, make_model, make_objective, make_optimizer
from vae_jax.experiment.disentanglement.run import Prepared, command_of, prepare, run, saved_settings
from vae_jax.experiment.disentanglement.scoring import _renderer, coarse_sizes, draw_images, score, table_with_progress
from vae_jax.experiment.disentanglement.training import is_whole, keys_of, load_latest, load_snapshot, train
from vae_jax.experiment.load import as_the_model_sees, images_of, load_run
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.share import export_run, summary_of
from vae_jax.runs import RunFolder
from vae_jax.training import drawn, init_train_state, make_train_epoch, make_train_step
from vae_jax.training._examples import batch_at
from vae_jax.training._plan import split_key

SIZES = (3, 2, 4, 4, 4)
SMALL = s.DisentangleSettings(
    objective="beta", betas=(1.0, 8.0), seeds=2, steps=4, score_every=2, batch_size=4, points=100, dci_points=100
)


@pytest.fixture(scope="module", autouse=True)
def few_sprites():
    """Every tenth angle, every eighth place, every fourth pixel: 384 images."""
    strides = np.array(sprites.FACTOR_SIZES) // np.array(SIZES)

    def render(table, key, index):
        whole = index_of(factors_of(index, SIZES) * strides, sprites.FACTOR_SIZES)
        return sprites.render(whole)[::4, ::4, None].astype(np.float32)

    shape = {"factor_sizes": SIZES, "image_shape": (16, 16, 1)}
    few = dataclasses.replace(factor_sets.RENDERED["sprites"], render=render, **shape)
    # DCI's hundred trees a class are most of the time of these runs, and its values are tested on their own.
    trees = GradientBoostingClassifier.__init__.__kwdefaults__
    with pytest.MonkeyPatch.context() as patch, parallel_config(backend="sequential"):
        patch.setitem(trees, "n_estimators", 2)
        patch.setitem(factor_sets.RENDERED, "sprites", few)
        yield few


@pytest.fixture(scope="module")
def finished(few_sprites, tmp_path_factory):
    """Made by the command itself: its run, and its summary as the last line of stdout."""
    module, run_dir = script("disentangle"), tmp_path_factory.mktemp("runs") / "run"
    words = "--betas 1 8 --seeds 2 --steps 4 --score-every 2 --batch-size 4 --points 100 --dci-points 100"
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.argv", ["disentangle.py", *words.split(), "--run-dir", str(run_dir)])
        module.main(module.__doc__)
    (summary,) = out.getvalue().splitlines()
    assert f"report: {run_dir / 'report.html'}\n" in err.getvalue()
    assert "score " in err.getvalue() and "ceiling" in err.getvalue()
    settings = s.resolve(dataclasses.replace(SMALL, run_dir=run_dir))
    return Prepared(settings, few_sprites, RunFolder(run_dir)), json.loads(summary)


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
    for words in ("What each latent tells of each factor", "Where each latent responds", "FactorVAE score", "Scores"):
        assert words in report
    assert "--betas 1.0 8.0 --seeds 2 --steps 4 --score-every 2" in report


@pytest.mark.slow
def test_a_member_is_the_model_that_its_own_steps_train(finished, few_sprites):
    # Model 2: weight 8, seed 0, four steps one after the other, by the key that the ensemble gives it.
    prepared, _ = finished
    settings, model = prepared.settings, make_model(prepared.settings, few_sprites.image_shape)
    optimizer = make_optimizer(settings)
    step = jax.jit(make_train_step(model, make_objective(settings, few_sprites, 8.0), optimizer))
    keys = split_key(keys_of(settings).training[2])
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(keys.init)
    examples = make_examples(settings, few_sprites)
    assert (examples.count, examples.data) == (384, ())
    # Two epochs of two steps: those of a step follow from its number alone.
    for number, indices in enumerate(drawn(keys.train, 0, 4, 384, 4)):
        state, _ = step(state, keys.train, jax.jit(batch_at)(examples, keys.train, number, indices))
    saved = load_snapshot(settings, model, prepared.folder, 4)[2]
    for a, b in zip(jax.tree.leaves(saved), jax.tree.leaves(state.params), strict=True):
        # Adam divides by a gradient's size: where that is nearly 0, rounding decides.
        assert np.isclose(a, b, rtol=2e-3, atol=2e-5).mean() > 0.98


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_and_scores_nothing_twice(finished, tmp_path, monkeypatch):
    whole, summary = finished
    half = dataclasses.replace(whole.settings, run_dir=tmp_path / "run")
    begun = prepare(half)
    with ProgressDisplay(4) as display:
        monkeypatch.setattr(training, "scored_steps", lambda settings: [2])
        train(begun.settings, begun.data, begun.folder, display)
        monkeypatch.undo()
    begun.folder.unlock()
    saved = saved_settings(dataclasses.replace(SMALL, betas=(), run_dir=half.run_dir, resume=True))
    assert saved.betas == (1.0, 8.0)
    resumed = prepare(saved)
    with ProgressDisplay(4) as display:
        train(resumed.settings, resumed.data, resumed.folder, display)
    model = make_model(whole.settings, whole.data.image_shape)
    for a, b in zip(
        *(jax.tree.leaves(load_snapshot(p.settings, model, p.folder, 4)) for p in (whole, resumed)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    # Of the finished run, every score is found in its folder.
    record = whole.folder.read_part("scores/final-1.json") | {"mig": 0.123}
    whole.folder.write_part("scores/final-1.json", record)
    again = run(prepare(dataclasses.replace(whole.settings, resume=True)))
    assert again["models"][1]["mig"] == 0.123 and again["models"][0] == summary["models"][0]


@pytest.mark.slow
def test_each_model_of_a_run_is_loaded_by_its_weight_and_seed_and_exported(finished, tmp_path):
    prepared, summary = finished
    loaded = load_run(prepared.folder.path, seed=1, beta=8.0)
    expected = load_snapshot(prepared.settings, loaded.model, prepared.folder, 4)[3]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected)
    assert (loaded.config["betas"], loaded.config["seed"], loaded.config["seeds"]) == ((8.0,), 1, 1)
    assert summary_of(loaded)["mig"] == summary["models"][3]["mig"]
    export_run(loaded, "safetensors", tmp_path / "out")
    again = load_run(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.params, expected)
    with pytest.raises(ValueError, match=r"--seed None and --beta 3.0 must be those of a model .*\(beta 1 seed 0, "):
        load_run(prepared.folder.path, beta=3.0)

    images = images_of(loaded)
    assert images.pixels.shape == (384, 16, 16, 1) and set(images.labels) == {0, 1, 2}
    np.testing.assert_allclose(np.round(255 * np.asarray(images.xs)), images.pixels)
    np.testing.assert_array_equal(as_the_model_sees(loaded, images.pixels), images.xs)


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
    assert f"| negative ELBO, nats an image | {' | '.join(medians)} |" in card


@pytest.mark.slow
def test_evaluate_scores_a_finished_run_again_with_other_numbers(finished):
    prepared, summary = finished
    scored = prepare_scoring(
        Evaluate(prepared.folder.path, metrics="disentanglement", points=120, dci_points=100)
    ).run()
    assert scored["points"] == 120
    key = keys_of(prepared.settings).scoring
    model = make_model(prepared.settings, prepared.data.image_shape)
    params = load_snapshot(prepared.settings, model, prepared.folder, 4)[3]
    table = table_with_progress(model, params, prepared.data)
    own = measure_disentanglement(table, jax.random.split(key, 3)[2], points=120, fast=True)
    assert scored["models"][3]["mig"] == own["mig"] != summary["models"][3]["mig"]
    assert [r["negative_elbo"] for r in scored["models"]] == [r["negative_elbo"] for r in summary["models"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_evaluate_scores_runs_of_other_experiments_on_sprites(name, tmp_path, monkeypatch, capsys):
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
    assert f"mig{summary['mig']:>31.2f}{summary['floor']['mig']:>8.2f}{summary['ceiling']['mig']:>9.2f}" in captured.err
    assert {"mig", "factor_vae_score", "dci_disentanglement", "sap", "udr"} - set(summary) == {"udr"}
    assert (summary["points"], summary["dci_points"]) == (100, 100)
    report = (run_dir / "report.html").read_text()
    assert "Where each latent responds" in report and "mutual information gap (MIG)" in report


@pytest.mark.slow
def test_a_run_whose_models_have_all_diverged_says_so_and_can_be_resumed(tmp_path, monkeypatch, without_figures):
    diverging = lambda settings: optax.sgd(lambda step: jnp.where(step < 3, 1e-3, jnp.nan))
    monkeypatch.setattr(training, "make_optimizer", diverging)
    settings = dataclasses.replace(SMALL, betas=(1.0,), seeds=1, run_dir=tmp_path / "run")
    for again in (False, True):
        summary = run(prepare(dataclasses.replace(settings, resume=again)))
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
    again = run(prepare(settings))
    assert "seed 1, 2 steps: not scored (the checkpoint " in capsys.readouterr().err
    assert [model["mig"] for model in again["models"]] == before
    assert ["mig" in row for row in again["by_steps"]] == 4 * [False] + 4 * [True]


@pytest.mark.slow
def test_an_unfinished_run_with_a_damaged_snapshot_is_opened_at_an_earlier_one_with_a_word(finished, tmp_path, capsys):
    whole, _ = finished
    shutil.copytree(whole.folder.path, tmp_path / "run")
    folder, model = RunFolder(tmp_path / "run"), make_model(whole.settings, whole.data.image_shape)
    (tmp_path / "run/snapshots/step-4/1/best/_METADATA").unlink()
    found = load_latest(whole.settings, model, folder)
    assert f"{tmp_path}/run/snapshots/step-4 is damaged: an earlier state is used" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, found, load_snapshot(whole.settings, model, whole.folder, 2))


@pytest.mark.slow
def test_a_model_that_has_diverged_has_no_scores_and_leaves_those_of_the_others(finished):
    prepared, _ = finished
    model = make_model(prepared.settings, prepared.data.image_shape)
    lost = jax.tree.map(lambda leaf: leaf * np.nan, load_snapshot(prepared.settings, model, prepared.folder, 4)[0])
    key = keys_of(prepared.settings).scoring
    assert score(prepared.settings, model, lost, prepared.data, key, "lost") == {"diverged": 4}
    file = prepared.folder.path / "scores" / "final-0.json"
    given = {"objective": "beta", "beta": 1.0, "seed": 0, "steps": 4, "diverged": 4}
    whole = json.loads(file.read_text())
    prepared.folder.write_part("scores/final-0.json", given)
    summary = run(prepare(dataclasses.replace(prepared.settings, resume=True)))
    prepared.folder.write_part("scores/final-0.json", whole)
    assert summary["models"][0] == given | {"coarse": summary["models"][0]["coarse"]}
    only = summary["models"][1]["mig"]
    assert summary["over_seeds"]["1"]["mig"] == {"median": only, "min": only, "max": only}


def test_a_coarse_table_takes_seconds_whatever_the_factors_are():
    assert coarse_sizes(sprites.FACTOR_SIZES) == (3, 6, 8, 8, 8)
    assert coarse_sizes((8,) * 6) == (4,) * 6  # squares: 262,144 images with all of their values
    assert coarse_sizes((2,) * 10) == (2,) * 10


def test_the_command_of_a_run_gives_its_settings_again():
    settings = s.resolve(dataclasses.replace(SMALL, whole_table=False, changed_factors=None, objective="ada_gvae"))
    words = command_of(settings).split()
    assert words[:3] == ["vae-jax", "train", "disentangle"]
    assert tyro.cli(s.DisentangleSettings, args=words[3:]) == settings


def test_a_snapshot_that_was_not_saved_to_its_end_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "step-4"
    (path / "1.unfinished").mkdir(parents=True)
    assert not is_whole(path)
    (path / "1").mkdir()
    assert not is_whole(path)


def test_a_run_without_factors_is_refused_with_what_remains(tmp_path):
    RunFolder(tmp_path).create({"experiment": "vae", "data": "digits"})
    options = Evaluate(tmp_path, metrics="disentanglement")
    with pytest.raises(
        ValueError, match=r"known factors \(sprites, .*made with digits; without factors there are active"
    ):
        prepare_scoring(options)
    with pytest.raises(ValueError, match="--points must be at least 100, got 7"):
        prepare_scoring(dataclasses.replace(options, points=7))
    (tmp_path / "config.json").unlink()
    RunFolder(tmp_path).create(s.config_of(s.resolve(SMALL)))
    with pytest.raises(ValueError, match=r"has not finished .*vae-jax train disentangle --run-dir"):
        prepare_scoring(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 1009}, "--steps must have a divisor between 10 and 100, as multiples of 100 do, got 1009"),
        ({"steps": 20_000_000}, "--steps must give at most 500,000 rows of metrics, got 20000000 with 800,000: give"),
        ({"steps": 400, "score_every": 150}, "--score-every must divide --steps 400, got 150"),
        ({"betas": (1.0, 1.0)}, "--betas must be different numbers, got (1.0, 1.0)"),
        ({"betas": (-1.0,)}, "--betas must be at least 0 each, got (-1.0,)"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"data": "mnist"}, "--data must be one with known factors"),
        ({"points": 10}, "--points must be at least 100, got 10"),
        ({"objective": "gamma"}, "--objective must be one of beta, tc"),
        ({"objective": "ada_gvae", "changed_factors": 5}, "--changed-factors must be between 1 and 4, got 5"),
    ],
)
def test_settings_out_of_range_are_refused_and_nothing_is_written(changes, message, tmp_path):
    settings = dataclasses.replace(SMALL, **{"score_every": None, "run_dir": tmp_path / "run"} | changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        prepare(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("objective", s.DEFAULT_WEIGHTS)
def test_every_objective_has_a_weight_a_model_and_a_step(objective, few_sprites):
    settings = s.resolve(dataclasses.replace(SMALL, objective=objective, betas=()))
    assert settings.betas == (s.DEFAULT_WEIGHTS[objective],)
    model, optimizer = make_model(settings, few_sprites.image_shape), make_optimizer(settings)
    examples = make_examples(settings, few_sprites)
    step = make_train_step(model, make_objective(settings, few_sprites, settings.betas[0]), optimizer)

    def moved(key):
        state = init_train_state(model, optimizer, key)
        after, metrics = step(state, key, batch_at(examples, key, 0, jnp.arange(4)))
        return jax.tree.map(lambda a, b: abs(a - b).max(), state.params, after.params), metrics

    if objective != "factor":  # traced only: what it computes is tested with the objective
        _, metrics = jax.eval_shape(moved, jax.random.key(0))
        assert "loss" in metrics
        return
    changes, metrics = jax.jit(moved)(jax.random.key(0))
    assert all(np.isfinite(value) for value in metrics.values())
    assert min(map(float, jax.tree.leaves(changes))) > 0
    # Adam's first step is its rate: of the discriminator its own.
    rates = {part: max(map(float, jax.tree.leaves(changes[part]))) for part in changes}
    assert rates == pytest.approx({"encoder": 5e-4, "decoder": 5e-4, "discriminator": 1e-4}, rel=1e-3)


def test_the_table_that_images_are_rendered_from_is_an_argument_of_every_program(few_sprites):
    table = jnp.zeros((384, 16, 16))
    render = lambda table, key, index: table[index][..., None]
    data = dataclasses.replace(few_sprites, table=table, render=render)
    model, key = make_model(SMALL, data.image_shape), jax.random.key(0)
    epoch = make_train_epoch(
        make_train_step(model, make_objective(SMALL, data, 4.0), make_optimizer(SMALL)), 4, num_steps=2
    )
    state = jax.eval_shape(lambda key: init_train_state(model, make_optimizer(SMALL), key), key)
    render = _renderer(render, SIZES, (2,) * 5)
    programs = {
        "training": epoch.lower(state, key, make_examples(SMALL, data)),
        "scoring": _encode_images.lower(model, render, state.params, table, jnp.arange(32)),
        "drawing": draw_images.lower(data, key, 8),
    }
    for name, program in programs.items():
        holding = [line for line in program.as_text().splitlines() if "tensor<384x16x16xf32>" in line]
        assert "func.func public @main(" in holding[0], name
        assert not any("constant" in line for line in holding), name


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capsys):
    module = script("disentangle")
    monkeypatch.setattr("sys.argv", ["disentangle.py", "--steps", "1009", "--run-dir", str(tmp_path / "other")])
    with pytest.raises(SystemExit) as stop:
        module.main(module.__doc__)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ""
    assert captured.err == "error: --steps must have a divisor between 10 and 100, as multiples of 100 do, got 1009\n"
