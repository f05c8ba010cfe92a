import shutil

import numpy as np
import pytest

from runs.commands import ROOT
from runs.finished_runs import train
from vae_jax.runs.images import kind as run_images


def write_blobs(folder):
    """The images that the tests train on, of two kinds of blobs, so that there is something to learn."""
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.integers(0, 2, (100, 2, 2)), np.full((3, 3), 230)) + rng.integers(0, 25, (100, 6, 6))
    np.savez(folder / "blobs.npz", train=shapes[:80].astype(np.uint8), test=shapes[80:].astype(np.uint8))


@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    """The images alone; and a default run folder would be seen."""
    write_blobs(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_figures(monkeypatch):
    """Most of a short run is spent on drawing; `test_a_run_leaves_...` draws them."""
    monkeypatch.setattr(run_images, "model_figures", lambda subject, key: [])


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with data and a finished run of it, for copies."""
    folder = tmp_path_factory.mktemp("runs")
    write_blobs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(ROOT))
        patch.setattr(run_images, "model_figures", lambda subject, key: [])
        train("vae")
    return folder


@pytest.fixture
def in_runs(runs, tmp_path, monkeypatch):
    """The current folder is a copy of it. No figures of the model: `test_the_command_...` draws them."""
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(run_images, "model_figures", lambda subject, key: [])
    return tmp_path
