import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import soon_started
from vae_jax import memory
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import fit_ensemble


def program_of(num_models, donate=True):
    """Program with 1,000 inputs and outputs per model, which may share memory, and 500 numbers shared by all models."""
    step = jax.vmap(lambda w, shared: w * 2.0 + shared.sum(), in_axes=(0, None))
    shapes = jax.ShapeDtypeStruct((num_models, 1000), jnp.float32), jax.ShapeDtypeStruct((500,), jnp.float32)
    return jax.jit(step, donate_argnums=0 if donate else ()).lower(*shapes).compile()


def test_the_bytes_of_a_program_are_those_of_its_arrays_and_of_a_donated_one_once():
    few = 100  # bytes that XLA may add for scalars
    assert 4 * 10_500 <= memory.bytes_of(program_of(10)) <= 4 * 10_500 + few
    assert 4 * 20_500 <= memory.bytes_of(program_of(10, donate=False)) <= 4 * 20_500 + few


def test_the_number_that_would_fit_does_fit_and_one_more_does_not():
    limit = 4 * 500 + 4 * 1000 * 37 + 2000  # the shared numbers and 37.5 models
    with pytest.raises(ValueError, match=r"100 models at once need .* GiB, but the device has .*, enough for 37: "):
        memory.check_fits(program_of(100), 100, 4 * 500, limit)
    memory.check_fits(program_of(37), 37, 4 * 500, limit)
    with pytest.raises(ValueError, match="enough for 37: "):
        memory.check_fits(program_of(38), 38, 4 * 500, limit)
    with pytest.raises(ValueError, match="enough for 0: "):
        memory.check_fits(program_of(2), 2, 4 * 500, 1000)


def test_the_limit_of_a_cpu_is_the_machines_memory():
    assert memory.memory_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.slow
def test_an_ensemble_that_does_not_fit_says_so_before_it_takes_the_memory(monkeypatch):
    monkeypatch.setattr(memory, "memory_bytes", lambda: 3_000_000)
    model, images = soon_started(mlp_vae((4, 4, 1), 2, hidden=(64,))), np.zeros((8, 4, 4, 1), np.float32)
    setup = lambda _: (negative_elbo, optax.adam(1e-3))
    options = {"epochs": 1, "batch_size": 8, "on_start": lambda: pytest.fail("it began")}
    with pytest.raises(ValueError, match=r"400 models at once need .*, enough for \d+: train them in several runs"):
        fit_ensemble(model, setup, None, images, images, jax.random.split(jax.random.key(0), 400), **options)
