"""Tests of a published table's rows: training, measuring, recording and continuing."""

import json
from functools import partial

import jax
import numpy as np
import optax
import pytest

from experiments.lib import paper_table
from experiments.lib.paper_row import Images, Measuring, Recipe, Row, Variant
from experiments.lib.paper_table import prepare_row
from experiments.lib.records import read_record
from vae_jax import data, mlp_vae, objectives
from vae_jax.runs.fitting import in_folder
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.training.checkpoints import OrbaxCheckpoints

SHAPE = (4, 4, 1)


def images():
    # Two bits per image, 0.69 nats each; a uniform model of 16 pixels needs 11.1 nats.
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 2, (60, 1, 2)), np.full((4, 2), 255)).astype(np.uint8)[..., None]
    return Images(pixels[:40], pixels[40:50], data.scale(jax.random.key(0), pixels[50:]))


def row(epochs=2, learning_rate=1e-2):
    model = mlp_vae(SHAPE, 2, (8,))
    recipe = Recipe(f"{epochs} epochs", optax.adam(learning_rate), epochs, 10, lambda p: p.state.params)
    one = Variant("one", "ELBO", model, objectives.negative_elbo, paper=5.0, bar=20.0, paper_active_units=1)
    two = Variant("two", "IWAE", model, objectives.negative_iwae(3))
    return Row("Two ways", (one, two), recipe, difference_bar=1.0)


def run(tmp_path, row, seeds=(0, 1), nll_samples=40, ais_images=0, ais_chains=4, ais_temperatures=60):
    return prepare_row(
        row,
        images(),
        data.binarize,
        Measuring(nll_samples, ais_images, ais_chains, ais_temperatures),
        seeds=seeds,
        runs=tmp_path / "runs",
        docs=tmp_path / "docs",
        name="nothing",
        command="python -m experiments.nothing",
    )()


@pytest.mark.slow
def test_a_row_is_trained_measured_and_recorded_once(tmp_path, monkeypatch):
    record = run(tmp_path, row())
    assert (record.seeds, len(record.wall_seconds)) == ([0, 1], 2)
    claims = {claim.claim: claim for claim in read_record(tmp_path / "docs/results/nothing.json").claims}
    one, two = claims["nll, ELBO"], claims["nll, IWAE"]
    assert (one.paper, one.at_most, one.reached) == (5.0, 20.0, True)
    assert all(value < 15 for value in (*one.values, *two.values))
    differences = [b - a for a, b in zip(one.values, two.values, strict=True)]
    np.testing.assert_allclose(claims["nll, IWAE minus ELBO"].values, differences)
    assert claims["the difference: maximum over the seeds"].values == [max(differences)]
    assert claims["active units, ELBO"].paper == 1
    assert (tmp_path / "docs/images/nothing.png").read_bytes().startswith(b"\x89PNG")
    # The numbers are those of the run folders.
    summary = json.loads((tmp_path / "runs/two-seed1/summary.json").read_text())
    assert (summary["nll"], summary["epochs"]) == (two.values[1], 2)
    rows = [json.loads(line) for line in (tmp_path / "runs/two-seed1/metrics.jsonl").read_text().splitlines()]
    assert [row["validation/loss"] for row in rows] == pytest.approx(
        list(summary["validation_loss_by_epoch"].values()), abs=1e-3
    )

    def measured_again(*args):
        raise AssertionError("what has been measured is measured again")

    monkeypatch.setattr(paper_table, "measure_vae", measured_again)
    again = run(tmp_path, row())
    assert [claim.values for claim in again.claims] == [claim.values for claim in record.claims]
    with pytest.raises(AssertionError, match="measured again"):
        run(tmp_path, row(), nll_samples=41)
    with pytest.raises(ValueError, match=r"--runs .*one-seed0 .*recipe \(the run: '2 epochs', now: '3 epochs'\)"):
        run(tmp_path, row(epochs=3))


@pytest.mark.slow
def test_annealing_is_added_to_earlier_measurements_which_are_not_repeated(tmp_path, monkeypatch):
    before = run(tmp_path, row(), seeds=(0,))

    def measured_again(*args):
        raise AssertionError("what has been measured is measured again")

    with monkeypatch.context() as patch:
        for name in ("measure_vae", "nll_with_progress"):
            patch.setattr(paper_table, name, measured_again)
        record = run(tmp_path, row(), seeds=(0,), ais_images=10)
    assert "; annealing from q(z | x), 4 chains each over 60 temperatures" in record.protocol
    claims = {claim.claim: claim.values for claim in record.claims}
    added = {claim: claims.pop(claim) for claim in list(claims) if "anneal" in claim or "of the first 10" in claim}
    assert claims == {claim.claim: claim.values for claim in before.claims}
    assert record.wall_seconds[0] > before.wall_seconds[0]
    for name, variant in (("one", "ELBO"), ("two", "IWAE")):
        summary = json.loads((tmp_path / f"runs/{name}-seed0/summary.json").read_text())
        sampled = added[f"nll of the first 10 test images, importance sampling, {variant}"]
        annealed = added[f"nll of the first 10 test images, annealed importance sampling, {variant}"]
        gap = added[f"gap between the two bounds of annealing, {variant}"]
        assert [[summary[key]] for key in ("ais_images_nll", "ais_nll", "bdmc_gap")] == [sampled, annealed, gap]
        # The first 10 are all test images, measured with the draws of the nll above.
        np.testing.assert_allclose(sampled, claims[f"nll, {variant}"], rtol=1e-6)
        # With two latent dimensions both estimates are close to the true value, and therefore to each other.
        assert abs(sampled[0] - annealed[0]) < 0.3
        assert abs(gap[0]) < 0.3

    monkeypatch.setattr(paper_table, "annealing_with_progress", measured_again)
    assert run(tmp_path, row(), seeds=(0,), ais_images=10).claims == record.claims
    with pytest.raises(AssertionError, match="measured again"):
        run(tmp_path, row(), seeds=(0,), ais_images=5)


@pytest.mark.slow
def test_an_nll_that_is_not_finite_is_an_error_every_time_and_never_a_record(tmp_path, monkeypatch):
    nll = {"nll": float("nan"), "nll_warning": "10 of the 10 examples have a log-likelihood that is not finite"}
    monkeypatch.setattr(paper_table, "nll_with_progress", lambda *args: nll)
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="one-seed0: 10 of the 10 examples"):
            run(tmp_path, row(), seeds=(0,))
    assert json.loads((tmp_path / "runs/one-seed0/summary.json").read_text())["negative_elbo"] > 0
    assert not (tmp_path / "docs").exists()


@pytest.mark.slow
def test_an_interrupted_row_continues_to_the_same_numbers(tmp_path, monkeypatch):
    uninterrupted = run(tmp_path / "uninterrupted", row(epochs=3), seeds=(0,))
    shown = []

    def show(self, rows):
        shown.append(rows[0]["epoch"])
        if len(shown) == 5:  # the second epoch of the second model
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressDisplay, "show", show)
    monkeypatch.setattr(in_folder, "OrbaxCheckpoints", partial(OrbaxCheckpoints, every_seconds=0))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "interrupted", row(epochs=3), seeds=(0,))
    assert not (tmp_path / "interrupted/docs").exists()
    continued = run(tmp_path / "interrupted", row(epochs=3), seeds=(0,))
    assert shown == [1, 2, 3, 1, 2, 3]  # no epoch twice
    assert continued.claims == uninterrupted.claims


def test_impossible_settings_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="seeds must be one or more different numbers"):
        run(tmp_path, row(), seeds=())
    with pytest.raises(ValueError, match="seeds must be one or more different numbers"):
        run(tmp_path, row(), seeds=(1, 1))
    with pytest.raises(ValueError, match="nll_samples must be at least 1, got 0"):
        run(tmp_path, row(), nll_samples=0)
    for wrong in (-1, 11):
        with pytest.raises(ValueError, match=f"ais_images must be between 0 and the 10 test images, got {wrong}"):
            run(tmp_path, row(), ais_images=wrong)
    for field in ("ais_chains", "ais_temperatures"):
        with pytest.raises(ValueError, match=f"{field} must be at least 1, got 0"):
            run(tmp_path, row(), ais_images=2, **{field: 0})
    assert list(tmp_path.iterdir()) == []
