"""Program of `test_fit_on_devices`: fits in FOLDER on all devices, or continues from the checkpoint there."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec

from fresh import soon_started
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import best_epoch, fit, fit_stream
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.sharding import data_mesh

IMAGES = np.random.default_rng(0).integers(0, 2, (92, 4, 4, 1)).astype(np.float32)
TRAIN, VALIDATION = IMAGES[:64], IMAGES[64:]  # of 28, whose last batch of 12 is not one of 8 devices
MODEL = soon_started(mlp_vae((4, 4, 1), 2, hidden=(8,)))
SPLIT = (
    ("hidden_0/kernel", PartitionSpec(None, "model")),
    ("hidden_0/bias", PartitionSpec("model")),
    ("output/kernel", PartitionSpec("model", None)),
)


class Stopped(Exception):
    pass


def run(folder, *, mesh=None, rules=(), stop_after=None):
    """Runs the fit, or the rest of it if there is a checkpoint."""

    def on_epoch(history):
        if len(history) == stop_after:
            raise Stopped

    key = jax.random.key(3)
    return fit(
        MODEL, negative_elbo, optax.adam(0.02), TRAIN, VALIDATION, key, epochs=4, batch_size=16, patience=3,
        mesh=mesh, rules=rules, checkpoints=OrbaxCheckpoints(folder, key, {}, every_seconds=0.0), on_epoch=on_epoch,
    )  # fmt: skip


class Stream:
    """Batches of 16 of the training images, in order."""

    batch_size, steps_per_epoch = 16, 4

    def __init__(self, part=slice(None)):
        self.next, self.part = 0, part

    def __iter__(self):
        return self

    def __next__(self):
        first = 16 * (self.next % 4)
        self.next += 1
        return TRAIN[first : first + 16][self.part]

    def seek(self, batch):
        self.next = batch


def run_stream(mesh=None, part=slice(None)):
    return fit_stream(
        MODEL, negative_elbo, optax.adam(0.02), Stream(part), VALIDATION, jax.random.key(3), epochs=3, mesh=mesh
    )


def facts(progress):
    kernel = progress.state.opt_state[0].mu["encoder"]["hidden_0"]["kernel"]
    leaves = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves((progress.state.params, progress.best_params))]
    return {
        "history": progress.history,
        "best_epoch": best_epoch(progress.history),
        "params": leaves,
        "devices_of_a_moment": len(kernel.sharding.device_set),
        "shape_on_one": kernel.addressable_shards[0].data.shape,
    }


if __name__ == "__main__":
    if sys.argv[1] == "stream":
        print(json.dumps(facts(run_stream(data_mesh()))))
        try:
            run_stream(data_mesh(), slice(0, 8))  # as if another process had the other half
        except ValueError as error:
            print(f"refused: {error}")
        sys.exit(0)
    folder, model, stop_after = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    mesh = data_mesh(model=model)
    try:
        progress = run(folder, mesh=mesh, rules=SPLIT if model > 1 else (), stop_after=stop_after or None)
    except Stopped:
        sys.exit(0)
    print(json.dumps(facts(progress)))
