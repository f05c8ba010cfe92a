"""Small runs that the commands are tried on, made once."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from runs.conftest import in_an_empty_folder as in_an_empty_folder
from runs.conftest import without_figures as without_figures
from vae_jax import cli
from vae_jax.runs.images import kind as run_images

__all__ = ["in_an_empty_folder", "without_figures"]
SMALL = "--data blobs.npz --hidden 8 --latent-dim 3 --epochs 2 --batch-size 10 --elbo-samples 2 --nll-samples 0"
CODES = "--data blobs.npz --channels 8 --latent-dim 4 --num-codes 4 --epochs 1 --batch-size 10 --prior-epochs 1"
LESS = "--elbo-samples 1 --nll-samples 0 --prior-width 8 --prior-layers 1 --residual-hidden 4 --residual-layers 1"


def call(*words):
    """The exit code of `vae-jax WORDS` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vae-jax", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code or 0
    return 0


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with images, and runs of a VAE (two seeds), an autoencoder and a VQ-VAE below runs/."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.integers(0, 2, (100, 2, 2)), np.full((4, 4), 230)) + rng.integers(0, 25, (100, 8, 8))
    labels = np.arange(100) % 3
    images = {"train": shapes[:80].astype(np.uint8), "test": shapes[80:].astype(np.uint8)}
    np.savez(folder / "blobs.npz", **images, train_labels=labels[:80], test_labels=labels[80:])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(run_images, "model_figures", lambda subject, key: [])
        assert call("train", "vae", *SMALL.split(), "--run-dir", "runs/vae", "--seeds", 2) == 0
        assert call("train", "autoencoder", *SMALL.split(), "--run-dir", "runs/autoencoder") == 0
        assert call("train", "vq_vae", *CODES.split(), *LESS.split(), "--run-dir", "runs/codes") == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The current folder is a copy of it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_images, "model_figures", lambda subject, key: [])
    return Path(tmp_path)
