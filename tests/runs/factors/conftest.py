"""A few images with known factors, and a finished run of four small models on them."""

import contextlib
import dataclasses
import io
import json
import shutil
import time

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.ensemble import GradientBoostingClassifier

from runs.commands import script
from runs.factors.small import SIZES
from vae_jax.data import _factor_sets as factor_sets
from vae_jax.data import sprites
from vae_jax.data._factors import factors_of, index_of
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.loading import open_run

_STRIDES = np.array(sprites.FACTOR_SIZES) // np.array(SIZES)


def _render(table, key, index):
    whole = index_of(factors_of(index, SIZES) * _STRIDES, sprites.FACTOR_SIZES)
    return sprites.render(whole)[::4, ::4, None].astype(np.float32)


_SHAPE = {"factor_sizes": SIZES, "image_shape": (16, 16, 1)}
# Every tenth angle, every eighth place, every fourth pixel: 384 images.
FEW = dataclasses.replace(factor_sets.RENDERED["sprites"], render=_render, **_SHAPE)


@contextlib.contextmanager
def _of_few_sprites():
    # DCI's hundred trees a class are most of the time of these runs, and its values are tested on their own.
    trees = GradientBoostingClassifier.__init__.__kwdefaults__
    with pytest.MonkeyPatch.context() as patch, parallel_config(backend="sequential"):
        patch.setitem(trees, "n_estimators", 2)
        patch.setitem(factor_sets.RENDERED, "sprites", FEW)
        yield


@pytest.fixture(scope="module", autouse=True)
def few_sprites():
    """The images of all runs here."""
    with _of_few_sprites():
        yield FEW


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A run made by the command itself, and its summary as the last line of stdout."""
    module, run_dir = script("disentangle"), tmp_path_factory.mktemp("runs") / "run"
    words = "--betas 1 8 --seeds 2 --steps 4 --score-every 2 --batch-size 4 --points 100 --dci-points 100"
    out, err, began = io.StringIO(), io.StringIO(), time.monotonic()
    with (
        _of_few_sprites(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr("sys.argv", ["disentangle.py", *words.split(), "--run-dir", str(run_dir)])
        module.main(module.RECIPE, module.__doc__)
        elapsed = time.monotonic() - began
        (line,) = out.getvalue().splitlines()
        summary = json.loads(line)
        # No second is counted twice, although the training stops at each mark.
        assert summary["training_seconds"] + summary["scoring_seconds"] <= elapsed
        assert f"report: {run_dir / 'report.html'}\n" in err.getvalue()
        assert "score " in err.getvalue() and "ceiling" in err.getvalue()
        return open_run(run_dir)[0], summary


@pytest.fixture
def finished(made, tmp_path_factory):
    """A copy of that run, and its summary."""
    prepared, summary = made
    path = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(prepared.folder.path, path)
    settings = dataclasses.replace(prepared.settings, run_dir=path)
    return prepared._replace(folder=RunFolder(path), settings=settings), summary
