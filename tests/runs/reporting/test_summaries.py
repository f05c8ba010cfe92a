import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reporting.summaries import add_to_summary, combined, course_of, shown_model, with_numbers
from vae_jax.training import Progress, TrainState

NAN = float("nan")


def progress(*losses):
    history = tuple({"epoch": i, "train/loss": 0.0, "validation/loss": loss} for i, loss in enumerate(losses, start=1))
    return Progress(TrainState(jnp.int32(10 * len(losses)), {}, ()), {}, history)


def test_a_models_summary_is_of_its_best_epoch_and_says_where_it_diverged():
    summary = with_numbers(course_of(4, progress(3.0, 1.0, 2.0)), {"rate": 2.5, "nll": NAN})
    assert summary == {"seed": 4, "steps": 30, "epochs": 3, "best_epoch": 2, "rate": 2.5, "nll": None}
    diverged = with_numbers(course_of(5, progress(3.0, NAN)), {"rate": 2.5})
    assert diverged == {"seed": 5, "steps": 20, "epochs": 2, "best_epoch": 1, "rate": 2.5, "diverged": 2}
    assert with_numbers(course_of(5, progress(NAN)), {"rate": 2.5})["rate"] is None


def test_several_models_have_their_means_and_standard_deviations():
    models = [{"seed": 1, "steps": 10, "rate": 2.0, "nll": 90.0}, {"seed": 2, "steps": 20, "rate": 5.0, "nll": None}]
    summary = combined(models)
    assert summary["rate"] == 3.5
    np.testing.assert_allclose(summary["rate_standard_deviation"], 3.0 / np.sqrt(2.0))
    assert (summary["nll"], summary["nll_standard_deviation"]) == (90.0, None)
    assert (summary["seeds"], summary["steps"], summary["models"]) == ([1, 2], 20, models)
    assert summary["negative_elbo"] is None


def test_likelihoods_by_different_numbers_of_samples_are_not_averaged():
    models = [{"seed": i, "steps": 1, "nll": 90.0 + i, "nll_samples": samples} for i, samples in enumerate((100, 100))]
    assert combined(models)["nll"] == 90.5
    diverged = {"seed": 2, "steps": 1, "nll": None, "nll_samples": None}
    assert combined([*models, diverged])["nll"] == 90.5
    models[1]["nll_samples"] = 5000
    assert combined(models)["nll"] is None


def test_numbers_are_added_to_the_model_they_are_of(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_summary({"data": "x"} | combined([{"seed": i, "steps": 1, "rate": float(i)} for i in (3, 4)]))
    summary = add_to_summary(folder, 4, {"rate": 6.0, "nll": NAN})
    assert folder.summary() == summary
    assert summary["models"] == [
        {"seed": 3, "steps": 1, "rate": 3.0},
        {"seed": 4, "steps": 1, "rate": 6.0, "nll": None},
    ]
    assert (summary["rate"], summary["data"]) == (4.5, "x")
    alone = RunFolder(tmp_path / "alone")
    alone.path.mkdir()
    alone.write_summary({"seed": 3})
    assert add_to_summary(alone, 3, {"rate": 1.0}) == {"seed": 3, "rate": 1.0}


@pytest.mark.parametrize(("losses", "shown"), [([[3.0, 1.0], [2.0]], 0), ([[3.0], [2.0, 4.0]], 1), ([[NAN], [9.0]], 1)])
def test_the_model_shown_has_the_lowest_validation_loss(losses, shown):
    assert shown_model([progress(*own).history for own in losses]) == shown
