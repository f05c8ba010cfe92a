"""Training steps of a model of a table, and of its twin for an array of as many numbers, that take turns."""

import time
from collections.abc import Callable

import jax
import numpy as np
import optax

from experiments.lib.table_memory import BATCH_SIZE, KEY
from vae_jax.data import fit_encoding, table_of
from vae_jax.models import Conditional, Example, column_likelihoods, gaussian_vae, table_vae, with_missing
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import negative_elbo
from vae_jax.training import init_train_state, make_train_epoch, make_train_step

LATENT_DIM, HIDDEN, COLUMNS = 10, (128, 128), 30
KINDS = {"continuous": 14, "positive": 6, "count": 4, "binary": 3, "category": 2, "ordinal": 1}


def columns_of(count: int) -> dict[str, np.ma.MaskedArray]:
    """30 columns of all kinds that share three factors; a twentieth of the cells is missing."""
    rng = np.random.default_rng(0)
    factors, columns = rng.normal(size=(count, 3)), {}
    make: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "continuous": lambda x, i: np.round(10 * x, 3),
        "positive": lambda x, i: np.round(100 * np.exp(x), 3),
        "count": lambda x, i: rng.poisson(np.exp(1 + x / 2)),
        "binary": lambda x, i: np.array(["no", "yes"])[(x > 0.5).astype(int)],
        "category": lambda x, i: np.array([f"level {k}" for k in "abcdefghijkl"])[
            np.clip(2 * x + 3, 0, 4 + 7 * i).astype(int)
        ],
        "ordinal": lambda x, i: np.clip(x + 2, 0, 4).astype(int),
    }
    for kind, number in KINDS.items():
        for i in range(number):
            x = factors @ rng.normal(size=3) / np.sqrt(3) + rng.normal(size=count)
            columns[f"{kind}_{i}"] = np.ma.masked_array(make[kind](x, i), rng.random(count) < 0.05)
    return columns


def training(model: Conditional, examples: Example, steps: int) -> Callable[[], float]:
    """Contestant that returns the microseconds of a training step."""
    optimizer = optax.adam(1e-3)
    epoch = make_train_epoch(make_train_step(model, negative_elbo, optimizer), BATCH_SIZE)
    on_device = jax.device_put(examples)

    def timed() -> float:
        state = jax.block_until_ready(init_train_state(model, optimizer, KEY))
        start = time.perf_counter()
        jax.block_until_ready(epoch(state, KEY, on_device))
        return 1e6 * (time.perf_counter() - start) / steps

    return timed


def contestants(steps: int) -> dict[str, Callable[[], float]]:
    """The two training steps, on as many rows."""
    table = table_of(columns_of(steps * BATCH_SIZE))
    encoding = fit_encoding(table)
    of_array = gaussian_vae(
        mlp_encoder((2 * COLUMNS,), 2 * LATENT_DIM, HIDDEN),
        mlp_decoder(LATENT_DIM, (COLUMNS, 2), HIDDEN),
        LATENT_DIM,
        column_likelihoods.normal,
    )
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(steps * BATCH_SIZE, COLUMNS)).astype(np.float32)
    mask = rng.random(numbers.shape) > 0.05
    of_table = table_vae(encoding.shapes, LATENT_DIM, HIDDEN, statistics=encoding.statistics)
    continuous = table_vae({"continuous": (COLUMNS,)}, LATENT_DIM, HIDDEN)
    return {
        "array": training(with_missing(of_array), Example(numbers, mask), steps),
        "table": training(of_table, Example(*encoding.encode(table)), steps),
        "continuous": training(continuous, Example({"continuous": numbers}, {"continuous": mask}), steps),
    }
