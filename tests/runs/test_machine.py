"""Parameters that do not fit in memory are refused before they are made."""

import jax.numpy as jnp
import optax
import pytest

from vae_jax.memory import memory_bytes
from vae_jax.runs import machine
from vae_jax.training import averaged


def init(key):
    return {"weights": jnp.zeros((2**10, 2**10)), "half": jnp.zeros(2**20, jnp.bfloat16)}


ADAM = optax.adam(1e-3)


# Copies of 6 MiB of parameters: they, their gradient, and what the optimizer keeps; its averages are float32.
@pytest.mark.parametrize(
    ("optimizer", "bytes_of_one"),
    [(optax.sgd(1e-3), 2 * 6), (ADAM, 4 * 6), (averaged(ADAM, 0.9), 4 * 6 + 8)],
    ids=["sgd", "adam", "adam with an average"],
)
def test_parameters_gradients_and_optimizer_of_all_models_must_fit(monkeypatch, optimizer, bytes_of_one):
    assert memory_bytes() > 2**28
    monkeypatch.setattr(machine, "memory_bytes", lambda: 5 * bytes_of_one * 2**20 + 1000)
    machine.check_fits(init, optimizer, 5, "--seeds")
    with pytest.raises(
        ValueError, match=r"^--seeds: the 12,582,912 parameters need 0\.\d GiB to be trained, but there"
    ):
        machine.check_fits(init, optimizer, 6, "--seeds")
    monkeypatch.setattr(machine, "memory_bytes", lambda: None)  # where the system does not say it
    machine.check_fits(init, optimizer, 10**9, "--seeds")


def test_parameters_of_any_size_are_counted_without_being_made():
    with pytest.raises(ValueError, match=r"the 1,000,000,000,000 parameters need 14,901.2 GiB to be trained"):
        machine.check_fits(lambda key: {"w": jnp.zeros((10**6, 10**6))}, ADAM, 1, "--hidden")
