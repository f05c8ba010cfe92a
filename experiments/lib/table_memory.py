"""Time and memory to load a table and to train on it, measured in a process of its own.

`python -m experiments.lib.table_memory FILE` prints a JSON object: seconds of each stage, and the peak of the resident
memory in bytes after it. The first stage is the process with its imports and nothing else.
"""

import json
import sys
import time

import jax
import numpy as np
import optax

from vae_jax.data import fit_encoding, load_table, table_of
from vae_jax.models import Example, table_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import init_train_state, make_train_epoch, make_train_step

BATCH_SIZE, KEY = 128, jax.random.key(0)


def peak_bytes() -> int:
    """Peak of the resident memory of this process so far."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def measure(path: str) -> dict[str, dict[str, float]]:
    """Seconds and peak bytes of imports, and of loading, fitting, encoding nine tenths of the rows, and an epoch."""
    stages: dict[str, dict[str, float]] = {}
    table_of({"x": [1.0, 2.0]})  # imports the reader
    start = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal start
        stages[stage] = {"seconds": time.perf_counter() - start, "peak": peak_bytes()}
        start = time.perf_counter()

    done("empty")
    table = load_table(path)
    done("load")
    rows = np.sort(np.random.default_rng(0).permutation(table.num_rows)[table.num_rows // 10 :])
    encoding = fit_encoding(table, rows)
    done("fit")
    examples = Example(*encoding.encode(table, rows))
    del table
    done("encode")
    model, optimizer = table_vae(encoding.shapes, statistics=encoding.statistics), optax.adam(1e-3)
    epoch = make_train_epoch(make_train_step(model, negative_elbo, optimizer), BATCH_SIZE)
    on_device = jax.device_put(examples)
    del examples
    _, metrics = epoch(init_train_state(model, optimizer, KEY), KEY, on_device)
    if not np.isfinite(jax.block_until_ready(metrics["loss"])):
        raise FloatingPointError("the loss of the epoch is not finite")
    done("train")
    return stages


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
