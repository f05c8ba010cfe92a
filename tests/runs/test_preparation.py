"""Messages and refusals before a run trains."""

import dataclasses
from pathlib import Path

import pytest

from runs.commands import contents
from vae_jax.runs import AUTOENCODER, VAE, VQ_VAE, CodeSettings, Settings, prepare

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")
SMALL = {"data": "blobs.npz", "run_dir": Path("run"), "latent_dim": 2}


def test_a_batch_that_is_smaller_than_by_default_is_said_once_all_is_checked(capsys):
    prepared = prepare(VAE, Settings(**SMALL, hidden=(4,)))
    assert (prepared.length.batch_size, prepared.num_steps) == (72, 100)
    assert capsys.readouterr().err == "--batch-size is 72, because there are fewer than 128 training images\n"
    config = prepared.folder.config()
    assert (config["batch_size"], config["validation_size"], config["likelihood"]) == (72, 8, "bernoulli")
    prepared.folder.unlock()
    prepare(VAE, Settings(**SMALL | {"run_dir": Path("given")}, hidden=(4,), batch_size=72)).folder.unlock()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("recipe", "settings", "notes"),
    [
        (VAE, {"hidden": (4,), "nll_samples": 5, "kl_warm_up": 2, "epochs": 2}, []),
        (
            AUTOENCODER,
            {"hidden": (4,), "nll_samples": 5},
            ["--nll-samples 5 is not used: nothing is sampled to measure this model"],
        ),
        (
            VQ_VAE,
            {"channels": (4,), "elbo_samples": 5, "prior_batch_size": 72, "k_means_images": 73},
            [
                "--elbo-samples 5 is not used: nothing is sampled to measure this model",
                "--k-means-images 73: all 72 training images are taken, as there are no more",
            ],
        ),
        (
            VAE,
            {"hidden": (4,), "kl_warm_up": 3, "epochs": 2},
            [
                "warning: --kl-warm-up 3 is longer than --epochs 2: no epoch counts as the best or stops training "
                "early, and the parameters of the last epoch are saved"
            ],
        ),
    ],
    ids=["none", "unused", "more than there are", "warm-up"],
)
def test_settings_without_the_effect_that_they_name_are_said_in_a_line(recipe, settings, notes):
    prepared = prepare(recipe, dataclasses.replace(recipe.defaults, **SMALL, **settings))
    assert recipe.kind.opening(prepared).splitlines()[1:] == notes
    prepared.folder.unlock()


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        (
            VAE,
            Settings(**SMALL, objective="beta_tc", microbatches=2),
            "--microbatches must be 1 for this objective, which needs the batch as a whole, got 2",
        ),
        (
            VAE,
            Settings(**SMALL, network="conv", hidden=(4, 4)),
            "--network conv has one dense layer: give one width to --hidden, got 2",
        ),
        (VAE, Settings(**SMALL, hidden=(10**6, 10**6)), "the sizes of the networks and the number of models: the "),
        (
            VAE,
            Settings(**SMALL, epochs=300_000, seeds=2),
            "--epochs must give at most 500,000 rows of metrics, got 3",
        ),
        (
            VQ_VAE,
            CodeSettings(**SMALL, channels=(4,) * 4),
            r"need more than 8 pixels in height and width, got images of 6 x 6",
        ),
        (VAE, Settings(**SMALL, resume=True), "--run-dir must be the folder of a run, got run: there is no such"),
    ],
    ids=["microbatches", "conv", "memory", "rows", "halved", "resume"],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(recipe, settings, message, tmp_path, capsys):
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=message):
        prepare(recipe, settings)
    assert contents(tmp_path) == before and capsys.readouterr().err == ""
