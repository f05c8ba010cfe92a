"""Tests of experiments.likelihood_speed: turns, timing and bad input; the peers need an environment of their own."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from fresh import some_params
from vae_jax import mlp_vae
from vae_jax.evaluation import importance_sampling


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import experiments.likelihood_speed

    yield experiments.likelihood_speed
    sys.path.pop(0)


def test_contestants_take_turns_and_the_first_round_is_not_counted(script):
    order = []

    def contestant(name):
        def measure():
            order.append(name)
            return float(len(order)), -float(len(order))

        return measure

    turns = script.take_turns({"a": contestant("a"), "b": contestant("b")}, 2)
    assert order == ["a", "b"] * 3
    assert turns == {"a": {"seconds": [3, 5], "nll": [-3, -5]}, "b": {"seconds": [4, 6], "nll": [-4, -6]}}


@pytest.mark.slow
def test_the_timed_function_returns_the_importance_sampled_nll(script):
    model = mlp_vae((2, 2, 1), 2, (4,))
    params = some_params(model)
    xs = jax.random.bernoulli(jax.random.key(1), 0.5, (5, 2, 2, 1)).astype(np.float32)
    seconds, nll = script.timed_nll(model, params, xs, 30)
    expected = -np.mean(importance_sampling(model, params, jax.random.key(2), xs, 30).log_likelihood)
    np.testing.assert_allclose(nll, expected, rtol=1e-6)
    assert seconds > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0", "--peer-python", "false"], "--rounds must be at least 1, got 0"),
        (
            ["--peer-python", "nowhere/python"],
            "--peer-python must be a Python with torch and pythae, got nowhere/python",
        ),
        (["--peer-python", "false"], "--peer-python must be a Python with torch and pythae, got false"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(script, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["x", *arguments])
    with pytest.raises(SystemExit, match="2"):
        script.main(script.tyro.cli(script.Options))
    assert f"error: {message}" in capsys.readouterr().err
