"""Parameters that do not fit in memory are refused before they are made."""

import jax.numpy as jnp
import pytest

from vae_jax.memory import memory_bytes
from vae_jax.runs import machine


def init(key):
    return {"weights": jnp.zeros((2**10, 2**10)), "half": jnp.zeros(2**20, jnp.bfloat16)}


def test_four_copies_of_the_parameters_of_all_models_must_fit(monkeypatch):
    assert memory_bytes() > 2**28
    monkeypatch.setattr(machine, "memory_bytes", lambda: 5 * 4 * 6 * 2**20)
    machine.check_fits(init, 5, "--seeds")
    with pytest.raises(ValueError, match=r"^--seeds: the 12,582,912 parameters need 0.1 GiB to be trained, but there"):
        machine.check_fits(init, 6, "--seeds")
    monkeypatch.setattr(machine, "memory_bytes", lambda: None)  # where the system does not say it
    machine.check_fits(init, 10**9, "--seeds")


def test_parameters_of_any_size_are_counted_without_being_made():
    with pytest.raises(ValueError, match=r"the 1,000,000,000,000 parameters need 14,901.2 GiB to be trained"):
        machine.check_fits(lambda key: jnp.zeros((10**6, 10**6)), 1, "--hidden")
