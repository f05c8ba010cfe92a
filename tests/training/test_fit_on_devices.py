"""`fit` on 8 and on 2 simulated devices, in other processes, compared with `fit` on the one device of this process."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from training.fit_on_devices import Stopped, facts, run_stream
from training.fit_on_devices import run as fit_here
from training.subprocesses import run
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import fit
from vae_jax.training.sharding import data_mesh

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return facts(fit_here(tmp_path_factory.mktemp("one")))


def fit_there(folder, devices, model=1, stop_after=0):
    output = run("-m", "training.fit_on_devices", folder, model, stop_after, devices=devices, seconds=180)
    return json.loads(output.splitlines()[-1]) if output else None


def assert_same(results, expected):
    # Sums over a batch are computed in another order, and sixteen steps of Adam propagate the rounding.
    assert results["best_epoch"] == expected["best_epoch"]
    for row, expected_row in zip(results["history"], expected["history"], strict=True):
        np.testing.assert_allclose(list(row.values()), list(expected_row.values()), rtol=1e-5)
    for leaf, expected_leaf in zip(results["params"], expected["params"], strict=True):
        np.testing.assert_allclose(leaf, expected_leaf, rtol=1e-4, atol=1e-5)


def test_eight_devices_train_the_model_of_one(tmp_path, one):
    eight = fit_there(tmp_path, 8)
    assert (eight["devices_of_a_moment"], eight["shape_on_one"]) == (8, [16, 8])
    assert_same(eight, one)


def test_parameters_split_over_devices_train_to_the_same(tmp_path, one):
    split = fit_there(tmp_path, 8, model=2)
    assert (split["devices_of_a_moment"], split["shape_on_one"]) == (8, [16, 4])
    assert_same(split, one)


def test_what_eight_devices_saved_goes_on_on_two_and_on_one_and_back(tmp_path, one):
    fit_there(tmp_path / "eight", 8, stop_after=2)
    shutil.copytree(tmp_path / "eight", tmp_path / "copy")
    two = fit_there(tmp_path / "copy", 2)
    assert two["devices_of_a_moment"] == 2
    assert_same(two, one)
    assert_same(facts(fit_here(tmp_path / "eight")), one)
    with pytest.raises(Stopped):
        fit_here(tmp_path / "here", stop_after=1)
    assert_same(fit_there(tmp_path / "here", 8), one)


def test_a_stream_of_batches_is_split_over_devices_and_a_part_of_one_is_refused():
    streamed, refusal = run("-m", "training.fit_on_devices", "stream", devices=4, seconds=180).splitlines()[-2:]
    assert_same(json.loads(streamed), facts(run_stream()))
    assert refusal.startswith("refused: ")


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    two_places = SimpleNamespace(shape={"data": 2})  # the part of a mesh that is used before devices are
    images, model = np.zeros((9, 2, 2, 1), np.float32), mlp_vae((2, 2, 1), 1)
    options = {"epochs": 1, "batch_size": 5, "mesh": two_places}
    with pytest.raises(ValueError, match=r"a multiple of 2, the number of devices .*, got 5: take 4 or 6"):
        fit(model, negative_elbo, optax.sgd(1.0), images, images, jax.random.key(0), **options)
    assert data_mesh().shape == {"data": 1, "model": 1}
