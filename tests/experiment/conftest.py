import numpy as np
import pytest

from vae_jax.experiment import trained


@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    """The images that the tests train on; and a default run folder would be seen."""
    rng = np.random.default_rng(0)
    # Blobs of two kinds, so that there is something to learn.
    shapes = np.kron(rng.integers(0, 2, (100, 2, 2)), np.full((3, 3), 230)) + rng.integers(0, 25, (100, 6, 6))
    np.savez(tmp_path / "blobs.npz", train=shapes[:80].astype(np.uint8), test=shapes[80:].astype(np.uint8))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_figures(monkeypatch):
    """Most of a short run is spent on drawing; `test_a_run_leaves_...` draws them."""
    monkeypatch.setattr(trained, "model_figures", lambda subject, key: [])
