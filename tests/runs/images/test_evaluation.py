"""`vae-jax evaluate RUN` on short runs of small images: in this process, but for where the process is the point."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import vae_jax
from runs.commands import ROOT, contents
from runs.finished_runs import SMALL, call, evaluate, summary_of, train
from vae_jax.cli.train import main
from vae_jax.runs import open_run
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images import evaluation as evaluate_module
from vae_jax.runs.images import kind as run_images
from vae_jax.runs.recipes import RECIPES

NLL = {
    "nll", "nll_standard_error", "nll_samples", "nll_warning",
    "effective_sample_size", "pareto_k", "pareto_k_limit", "pareto_k_above_limit",
}  # fmt: skip
SURGERY = {"average_kl", "mutual_information", "marginal_kl", "total_correlation", "dimension_wise_kl"}


@pytest.mark.slow
def test_it_adds_its_numbers_to_the_summary_and_the_report_and_changes_nothing_else(in_runs, capsys):
    before, files = summary_of("vae"), contents("vae")
    code, summary, error = evaluate(
        capsys, "vae", "--nll-samples", "500", "--ais-chains", "2", "--ais-temperatures", "20"
    )
    assert code == 0
    # Of a few images, annealing without being asked.
    assert summary["ais_images"] == 10
    assert abs(summary["ais_nll"] - summary["ais_images_nll"]) < 2
    assert summary == summary_of("vae")
    assert set(summary) >= set(before) | NLL | SURGERY | {"mutual_information_limit", "surgery_points"}
    assert summary["nll_samples"] == 500
    # The run comes back as it was: the same images, parameters and draws give the same ELBO to the last bit.
    assert before.items() <= summary.items()
    assert summary["negative_elbo"] - 2 < summary["nll"] < summary["negative_elbo"] + 0.1
    assert 1 < summary["effective_sample_size"] <= 500
    assert 0 <= summary["pareto_k_above_limit"] <= 1
    parts = sum(summary[name] for name in ("mutual_information", "total_correlation", "dimension_wise_kl"))
    np.testing.assert_allclose(parts, summary["average_kl"], rtol=1e-4, atol=1e-5)
    assert abs(summary["average_kl"] - summary["rate"]) < 5 * summary["average_kl_standard_error"] + 1e-6
    np.testing.assert_allclose(summary["mutual_information_limit"], np.log(20))
    assert summary["evaluation_seconds"] > 0
    assert "importance sampling, 500 samples for each image" in error
    report = (in_runs / "vae/report.html").read_text()
    assert "Decomposition of the rate" in report
    assert summary["posterior_collapse"] in report
    assert f"{summary['nll']:.2f}" in report
    after = contents("vae")
    assert {name for name in after if after[name] != files.get(name)} == {
        "checksums.json", "summary.json", "report.html", "MODEL.md", "figures/elbo_surgery.png"
    }  # fmt: skip


@pytest.mark.slow
def test_a_second_evaluation_replaces_its_own_numbers_and_keeps_the_others(in_runs, capsys):
    annealing = ["--ais-images", "2", "--ais-chains", "2", "--ais-temperatures", "5"]
    _, first, _ = evaluate(capsys, "vae", "--nll-samples", "40", "--ais-start", "prior", *annealing)
    assert (first["ais_images"], first["ais_chains"], first["ais_temperatures"]) == (2, 2, 5)
    assert abs(first["ais_nll"] - first["ais_images_nll"]) < 5
    _, second, _ = evaluate(capsys, "vae", "--nll-samples", "50", "--surgery-points", "7", "--ais-images", "0")
    assert (second["nll_samples"], second["surgery_points"]) == (50, 7)
    annealed = {name: value for name, value in first.items() if name.startswith(("ais", "bdmc"))}
    assert len(annealed) == 14
    assert annealed["ais_images_nll_samples"] == 40
    assert annealed.items() <= second.items()


@pytest.mark.slow
def test_the_same_evaluation_gives_the_same_numbers(in_runs, capsys):
    _, first, _ = evaluate(capsys, "vae", "--nll-samples", "40", "--ais-images", "0")
    report = (in_runs / "vae/figures/elbo_surgery.png").read_bytes()
    _, again, _ = evaluate(capsys, "vae", "--nll-samples", "40", "--ais-images", "0")
    assert {**first, "evaluation_seconds": 0} == {**again, "evaluation_seconds": 0}
    assert (in_runs / "vae/figures/elbo_surgery.png").read_bytes() == report


@pytest.mark.slow
def test_an_interrupt_keeps_the_parts_that_were_done_and_the_report_as_it_was(in_runs, capsys, monkeypatch):
    report = (in_runs / "vae/report.html").read_bytes()

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_module, "nll_with_progress", die)
    before = summary_of("vae")
    code, out, error = evaluate(capsys, "vae")
    assert (code, out) == (130, None)
    assert "interrupted; what was measured until then is in vae/summary.json" in error
    after = summary_of("vae")
    assert after["mutual_information"] is not None
    assert before.items() <= after.items()
    assert (in_runs / "vae/report.html").read_bytes() == report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "RUN must be the folder of a run, got nowhere: there is no such folder"),
        (["."], "RUN must be the folder of a run, got .: it has no config.json"),
        (["vae", "--nll-samples", "-1"], "--nll-samples must be at least 0, got -1"),
        (["vae", "--surgery-points", "0"], "--surgery-points must be at least 1, got 0"),
        (["vae", "--ais-images", "-1"], "--ais-images must be at least 0, got -1"),
        (["vae", "--ais-images", "21"], "--ais-images must be at most the 20 test images, got 21"),
        (["vae", "--ais-chains", "0"], "--ais-chains must be at least 1, got 0"),
        (["vae", "--ais-temperatures", "0"], "--ais-temperatures must be at least 1, got 0"),
        (["autoencoder", "--nll-samples", "50"], "RUN autoencoder: the posterior of its model must have a density"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it_and_nothing_is_lost(in_runs, capsys, words, message):
    if "autoencoder" in words:
        train("autoencoder")
        capsys.readouterr()
    before = contents(in_runs)
    code, out, error = evaluate(capsys, *words)
    assert (code, out) == (2, None)
    assert error.startswith(f"error: {message}")
    assert len(error.splitlines()) == 1
    assert contents(in_runs) == before


@pytest.mark.slow
def test_without_importance_samples_the_other_parts_are_measured(in_runs, capsys):
    few = ["--ais-images", "2", "--ais-chains", "2", "--ais-temperatures", "2"]
    code, summary, _ = evaluate(capsys, "vae", "--nll-samples", "0", *few)
    assert code == 0 and summary["ais_images"] == 2 and set(summary) >= SURGERY
    assert not {name for name in summary if "nll" in name} & (NLL | {"ais_images_nll", "ais_images_nll_samples"})


@pytest.mark.slow
def test_an_unfinished_run_is_measured_and_stays_unfinished(in_runs, capsys):
    RunFolder(Path("vae")).remove_summary()
    before = contents("vae")
    code, summary, error = evaluate(capsys, "vae", "--nll-samples", "50", "--ais-images", "0")
    assert code == 0
    assert (summary["unfinished"], summary["epochs"], summary["nll_samples"]) == (True, 3, 50)
    assert np.isfinite([summary["negative_elbo"], summary["nll"], summary["mutual_information"]]).all()
    assert "report:" not in error
    assert contents("vae") == before


@pytest.mark.slow
def test_a_run_opens_with_the_settings_and_parameters_that_it_ended_with(in_runs):
    prepared, trained = open_run(Path("vae"))
    assert (prepared.recipe.name, prepared.settings.latent_dim, prepared.settings.hidden) == ("vae", 2, (8,))
    assert prepared.problem.test.shape == (20, 6, 6, 1)
    assert [row["epoch"] for row in trained.history] == [1, 2, 3]
    assert run_images.measure(prepared, trained, 0).summary.items() <= summary_of("vae").items()


def run_command(folder, *words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "vae_jax.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_command_draws_the_figures_and_prints_the_summary_alone(runs, tmp_path):
    shutil.copytree(runs / "vae", tmp_path / "vae")
    shutil.copy(runs / "blobs.npz", tmp_path)
    finished = run_command(tmp_path, "evaluate", "vae", "--nll-samples", "50", "--ais-images", "0")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == summary_of(tmp_path / "vae")
    assert finished.stdout.count("\n") == 1 and "report: vae/report.html\n" in finished.stderr
    report = (tmp_path / "vae/report.html").read_text()
    figures = sorted((tmp_path / "vae/figures").glob("*.png"))
    assert {"training_curves.png", "kl_per_dimension.png", "elbo_surgery.png"} <= {path.name for path in figures}
    assert report.count("data:image/png;base64,") == len(figures)


@pytest.mark.slow
def test_no_code_of_a_folder_runs_whatever_the_current_folder_is_and_a_recipe_is_named_by_the_user(
    runs, tmp_path, monkeypatch
):
    shutil.copy(runs / "blobs.npz", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_images, "model_figures", lambda subject, key: [])
    mine = RECIPES["vae"]._replace(name="mine")
    assert call(partial(main, mine, ""), "--data", "blobs.npz", "--run-dir", "vae", *SMALL.split()) == 0
    for place in (tmp_path, tmp_path / "vae"):
        (place / "experiments").mkdir()
        for name in ("mine.py", "__init__.py"):
            (place / "experiments" / name).write_text('open("RAN", "w")')
    for place, words in ((tmp_path, ["evaluate", "vae"]), (tmp_path / "vae", ["sample", "."])):
        finished = run_command(place, *words, PYTHONSAFEPATH="")
        assert finished.returncode == 2 and finished.stderr.startswith("error: RUN "), finished.stderr
        assert finished.stderr.count("\n") == 1
        assert f"RUN {words[1]} was made by mine, which is not a recipe of" in finished.stderr
    assert not list(tmp_path.rglob("RAN"))
    before = list(sys.path)
    model, params, settings = vae_jax.load("vae", recipe=mine)
    assert settings["experiment"] == "mine"
    code = vae_jax.encode(model, params, np.zeros((6, 6, 1), np.float32)).mean
    expected = vae_jax.load(runs / "vae")
    np.testing.assert_array_equal(code, vae_jax.encode(*expected[:2], np.zeros((6, 6, 1), np.float32)).mean)
    assert open_run(Path("vae"), recipe=mine)[0].recipe is mine
    with pytest.raises(ValueError, match="path vae was made by the recipe mine, not by vae"):
        vae_jax.load("vae", recipe=RECIPES["vae"])
    assert sys.path == before


@pytest.mark.slow
def test_the_help_names_every_option_with_its_default():
    finished = run_command(ROOT, "evaluate", "--help", COLUMNS="200")
    assert finished.returncode == 0
    words = " ".join(finished.stdout.split())
    assert words.startswith("usage: vae-jax evaluate")
    for option in ("--nll-samples INT", "--surgery-points", "--ais-images", "--ais-chains INT", "--data-dir"):
        assert option in words
    assert "(default: 5000)" in words


@pytest.mark.slow
def test_of_a_run_of_several_models_the_one_of_the_seed_is_measured(in_runs, capsys):
    recipe = __import__("experiments.vae", fromlist=["RECIPE"]).RECIPE
    arguments = ["--data", "blobs.npz", "--run-dir", "many", "--seeds", "2", *SMALL.split()]
    assert call(partial(main, recipe, ""), *arguments) == 0
    before = summary_of("many")
    capsys.readouterr()
    code, summary, _ = evaluate(capsys, "many", "--seed", "1", "--nll-samples", "30", "--ais-images", "0")
    assert code == 0
    assert summary["shown_seed"] == 1
    assert {name: summary["models"][0][name] for name in before["models"][0]} == before["models"][0]
    assert summary["models"][1].keys() >= NLL | SURGERY
    assert "nll" not in summary["models"][0]
    # The model of seed 1 is the run of that seed alone; and by default it is the one that the figures show.
    alone = [*arguments[:2], "--run-dir", "alone", "--seed", "1", *SMALL.split()]
    assert call(partial(main, recipe, ""), *alone) == 0
    capsys.readouterr()
    _, expected, _ = evaluate(capsys, "alone", "--nll-samples", "30", "--ais-images", "0")
    np.testing.assert_allclose(summary["models"][1]["nll"], expected["nll"], rtol=1e-4)
    assert open_run(Path("many"))[1].member.seed == 1
    code, _, err = evaluate(capsys, "many", "--seed", "2")
    assert (code, err) == (2, "error: --seed must be one of the seeds of RUN many (0, 1), got 2\n")
    # A model that diverged in its first epoch has numbers that are None.
    first, second = summary["models"]
    RunFolder(Path("many")).write_summary(summary | {"models": [dict.fromkeys(first) | {"seed": 0}, second]})
    assert call(partial(main, recipe, ""), *arguments, "--resume") == 0
    models = summary_of("many")["models"]
    assert models[0].items() >= {name: first[name] for name in ("seed", "negative_elbo", "rate")}.items()
    assert models[1]["nll"] == second["nll"]
