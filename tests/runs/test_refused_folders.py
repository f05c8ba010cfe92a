"""Folders that are no whole run, refused by `vae-jax evaluate` in a line that names what is wrong."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from runs.commands import contents
from runs.finished_runs import call, evaluate
from vae_jax import cli
from vae_jax.checksums import remove_recorded, write_recorded
from vae_jax.runs.folder import RunFolder


def spoil(config, **changes):
    """Another config.json, with the checksum that goes with it."""
    path = Path("vae/config.json")
    content = json.dumps(json.loads(path.read_text()) | changes) if config is None else config
    write_recorded(Path("vae"), "config.json", content)


def empty_checkpoint():
    checkpoint = max((path for path in Path("vae/checkpoints").iterdir()), key=lambda path: int(path.name))
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def unfinished_without_rows():
    RunFolder(Path("vae")).remove_summary()
    remove_recorded(Path("vae"), "metrics.jsonl")


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (
            lambda: shutil.rmtree("vae/checkpoints"),
            "RUN vae holds no checkpoint (in vae/checkpoints) and so no parameters",
        ),
        (lambda: os.remove("vae/summary.json"), "RUN vae: summary.json is missing; put back a copy of it, or resume"),
        (lambda: spoil("{"), "RUN vae: config.json is not valid JSON"),
        (lambda: spoil("[]"), "RUN vae: config.json must hold a JSON object, got []"),
        (
            lambda: write_recorded(Path("vae"), "metrics.jsonl", "oops\n"),
            "RUN vae: metrics.jsonl is not valid JSON",
        ),
        (lambda: os.remove("vae/metrics.jsonl"), "RUN vae: metrics.jsonl is missing; put back a copy of it, or resume"),
        (unfinished_without_rows, "RUN vae has no metrics.jsonl with rows of its model"),
        (empty_checkpoint, "is damaged"),
        (
            lambda: spoil(None, experiment="no_such"),
            "RUN vae was made by no_such, which is not a recipe of vae_jax (vae, beta_vae, autoencoder, vq_vae, "
            "semi_supervised, disentangle); load a run of your own script with vae_jax.load(path, recipe=RECIPE)",
        ),
        (lambda: spoil(None, experiment=None), "RUN vae: config.json must name the recipe of the run"),
        (lambda: spoil(None, experiment="\x1b[31mred"), r"RUN vae was made by \x1b[31mred"),
        (
            lambda: spoil(None, latent_dim="x"),
            'RUN vae: config.json: latent_dim must be a whole number, got "x"',
        ),
        (
            lambda: spoil(None, epochs=True),
            "RUN vae: config.json: epochs must be a whole number, got true",
        ),
        (
            lambda: spoil(None, hidden=[8, "y"]),
            'config.json: hidden must be a list of whole numbers, got [8, "y"]',
        ),
        (
            lambda: spoil(None, patience="z"),
            'config.json: patience must be a whole number or null, got "z"',
        ),
        (
            lambda: spoil(None, network="rnn"),
            "config.json: network must be mlp, conv or residual for vae, got rnn",
        ),
        (
            lambda: spoil(None, likelihood="auto"),
            "config.json: likelihood must be the choice that the run was trained with, got auto",
        ),
        (
            lambda: spoil(None, batch_size=None),
            "config.json: batch_size must be the number that the run was trained with, got null",
        ),
        (
            lambda: spoil(None, image_shape=[8, 8]),
            "RUN vae: config.json must hold the image_shape [H, W, 1 or 3]",
        ),
        (
            lambda: spoil(None, prior="transformer"),
            "RUN vae: config.json: prior must be normal, mixture, vamp or fitted for vae, got transformer",
        ),
        (lambda: spoil(None, weather=0.9), "RUN vae holds a run of another version of vae_jax"),
        (
            lambda: spoil(None, format=99),
            "RUN vae was made by a newer version of vae_jax (its folder has format 99, not 5)",
        ),
        (lambda: spoil(None, data="gone.npz"), "data (the run: 'blobs.npz', now: 'gone.npz')"),
        (
            lambda: np.savez("blobs.npz", train=np.zeros((80, 6, 6), np.uint8), test=np.zeros((9, 6, 6), np.uint8)),
            "RUN vae was made with other data: --data blobs.npz has changed since",
        ),
    ],
    ids=[
        "checkpoint",
        "summary",
        "json",
        "list",
        "metrics",
        "no metrics",
        "no rows",
        "whole",
        "experiment",
        "nameless",
        "recipe",
        "an int",
        "no bool",
        "ints",
        "or None",
        "one of",
        "open choice",
        "open size",
        "image shape",
        "of the recipe",
        "version",
        "format",
        "data",
        "images",
    ],
)
def test_a_folder_that_is_no_finished_run_is_refused_by_what_it_lacks(in_runs, capsys, spoiled, message):
    spoiled()
    before = contents(in_runs)
    code, out, error = evaluate(capsys, "vae", "--nll-samples", "50")
    assert (code, out) == (2, None)
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert contents(in_runs) == before


def test_a_checkpoint_of_another_model_is_refused(in_runs, capsys):
    spoil(None, hidden=[9])
    code, _, error = evaluate(capsys, "vae")
    assert code == 2
    assert error.startswith("error: RUN vae: the checkpoint does not hold the model that config.json describes")
    assert "hidden (the run: [8], now: [9])" in error
    assert len(error.splitlines()) == 1


def test_what_is_missing_comes_with_the_command_that_makes_it(in_runs, capsys):
    RunFolder(Path("vae")).remove_summary()
    assert call(cli.main, "report", "vae") == 2
    assert "vae-jax train vae --run-dir vae --resume" in capsys.readouterr().err
