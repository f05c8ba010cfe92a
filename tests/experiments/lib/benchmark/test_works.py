import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.lib.benchmark.inference import importance_sampling_work
from experiments.lib.benchmark.train import ensemble_work, mlp_work
from experiments.lib.benchmark.work import Setup
from experiments.lib.benchmark.works import WORKS, check

SETUP = Setup(batch_size=32, steps=20)  # one program for several tests


@pytest.mark.slow
def test_each_round_continues_the_training():
    work = mlp_work(SETUP)
    losses = [work.round() for _ in range(3)]
    assert work.problem["images"].shape == (640, 28, 28, 1)
    assert losses[0] < 0.9 * 784 * np.log(2)  # training begins at one bit per pixel
    assert losses[2] < losses[1] < losses[0]


def test_a_peer_is_given_the_weights_that_training_starts_from():
    work = mlp_work(SETUP)
    kernel = work.problem["encoder/hidden_0/kernel"].copy()
    work.round()
    np.testing.assert_array_equal(work.problem["encoder/hidden_0/kernel"], kernel)
    assert {name: array.shape for name, array in work.problem.items() if "kernel" in name} == {
        "encoder/hidden_0/kernel": (784, 400),
        "encoder/output/kernel": (400, 40),
        "decoder/hidden_0/kernel": (20, 400),
        "decoder/output/kernel": (400, 784),
    }


@pytest.mark.slow
def test_an_ensemble_equals_its_members_trained_alone():
    work = ensemble_work(Setup(batch_size=16, steps=5), members=2)
    (separate,) = work.rivals.values()
    for _ in range(2):
        np.testing.assert_allclose(work.round(), separate(), rtol=1e-4)


@pytest.mark.slow
def test_importance_sampling_measures_an_nll():
    work = importance_sampling_work(Setup(), images=3, num_samples=50)
    assert work.round() == pytest.approx(784 * np.log(2), rel=0.1)  # fresh weights give each pixel about a half


@pytest.mark.parametrize(
    ("works", "setup", "message"),
    [
        (["mlp"], Setup(), "--work must name workloads of mlp_vae, conv_vae, .*, got mlp$"),
        (["mlp_vae"], Setup(devices=64), "--devices must be at most .*, got 64"),
        (["mlp_vae"], Setup(devices=0), "--devices must be at least 1, got 0"),
        (["mlp_vae"], Setup(batch_size=0), "--batch-size must be at least 1, got 0"),
        (["mlp_vae", "importance_sampling"], Setup(batch_size=7), "--work importance_sampling has a fixed batch size"),
    ],
)
def test_impossible_workloads_and_setups_are_refused(works, setup, message):
    with pytest.raises(ValueError, match=message):
        check(works, setup)


def test_a_batch_that_the_devices_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    check(["mlp_vae", "conv_vae"], Setup(devices=8))
    with pytest.raises(ValueError, match="--devices must divide the batch size of mlp_vae, 128, got 3"):
        check(["mlp_vae"], Setup(devices=3))
    with pytest.raises(ValueError, match="--devices 2 applies to the workloads mlp_vae, conv_vae"):
        check(["ensemble"], Setup(devices=2))


TWO_DEVICES = """
from experiments.lib.benchmark.inference import sampling_work
from experiments.lib.benchmark.train import mlp_work
from experiments.lib.benchmark.work import Setup
sampling_work(Setup(devices=2, batch_size=8, steps=1)).round()
print([mlp_work(Setup(devices=devices, batch_size=8, steps=2)).round() for devices in (1, 2)])
"""


@pytest.mark.slow
def test_two_devices_train_as_one():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", TWO_DEVICES]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[4], capture_output=True, check=True)
    one, two = json.loads(done.stdout)
    assert two == pytest.approx(one, rel=1e-5)


def test_the_workloads_are_those_of_the_command_line():
    assert list(WORKS) == ["mlp_vae", "conv_vae", "conv_cifar", "importance_sampling", "ensemble", "sampling"]
