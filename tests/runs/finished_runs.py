"""A finished run of small images, in a folder of its own, and the commands that read it, in this process."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from vae_jax import cli
from vae_jax.cli.train import main

SMALL = "--hidden 8 --latent-dim 2 --epochs 3 --batch-size 10 --elbo-samples 2 --nll-samples 0 --validation-size 10"


def call(function, *words):
    """The exit code of a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *words])
        try:
            function()
        except SystemExit as stop:
            return stop.code
    return 0


def train(name):
    """A run of an experiment in a folder of its name."""
    recipe = __import__(f"experiments.{name}", fromlist=["RECIPE"]).RECIPE
    assert call(partial(main, recipe, ""), "--data", "blobs.npz", "--run-dir", name, *SMALL.split()) == 0


def evaluate(capsys, *words):
    """The exit code, the summary (None where there is none), and what came on stderr."""
    code = call(cli.main, "evaluate", *words)
    captured = capsys.readouterr()
    return code, json.loads(captured.out.splitlines()[-1]) if captured.out else None, captured.err


def summary_of(path):
    return json.loads((Path(path) / "summary.json").read_text())
