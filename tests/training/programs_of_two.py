"""Programs of `test_two_processes.py`, run by both processes after they have connected."""

import time

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from training.on_eight_devices import BATCH_SIZE, KEY, MODEL, OBJECTIVE, OPTIMIZER, TRAIN, VALIDATION, flat
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.preparation import prepare
from vae_jax.runs.processes import check_same
from vae_jax.runs.recipes import VAE
from vae_jax.runs.settings import Settings
from vae_jax.training import Progress, init_train_state, make_evaluate, make_train_epoch, make_train_step
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.distributed import from_all, from_writer, is_writer
from vae_jax.training.sharding import data_mesh, keep_shardings, place, replicate, replicated_sharding, shardings_of


class Shard:
    """Array that counts the rows read from it by a process."""

    def __init__(self, array):
        self.array, self.read = array, set()

    def __getitem__(self, rows):
        self.read |= set(rows.tolist())
        return self.array[rows]


def on_mesh_of_all():
    """(state, key, train epoch, evaluate) over all processes."""
    mesh = data_mesh()
    init = lambda key: init_train_state(MODEL, OPTIMIZER, key)
    shardings = shardings_of(jax.eval_shape(init, KEY), mesh)
    step = keep_shardings(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), shardings)
    evaluate = make_evaluate(MODEL, OBJECTIVE, BATCH_SIZE, mesh)
    state = jax.jit(init, out_shardings=shardings)(KEY)
    return mesh, state, replicate(KEY, mesh), make_train_epoch(step, BATCH_SIZE, mesh=mesh), evaluate


def train(folder):
    """Trains an epoch with each process reading its own part of the data; saves, restores and trains another epoch."""
    mesh, state, key, epoch, evaluate = on_mesh_of_all()
    shard = Shard(TRAIN)
    own = shard[np.split(np.arange(len(TRAIN)), jax.process_count())[jax.process_index()]]
    examples, validation = replicate((process_allgather(own, tiled=True), VALIDATION), mesh)
    like = state
    state, metrics = epoch(jax.tree.map(jax.numpy.copy, state), key, examples)
    results = (
        flat("state", state) | flat("metrics", metrics) | flat("validation", evaluate(state.params, key, validation))
    )
    checkpoints = OrbaxCheckpoints(folder / "checkpoints", KEY, {})
    checkpoints.save(Progress(state, state.params, ({"epoch": 1.0},)))
    restored = checkpoints.restore(Progress(like, like.params, ()))
    results |= flat("resumed", epoch(restored.state, key, examples)[0])
    np.savez(folder / f"{jax.process_index()}.npz", **results, read=sorted(shard.read))
    assert from_writer({"from": jax.process_index()}) == {"from": 0}
    assert from_all({"from": jax.process_index()}) == [{"from": 0}, {"from": 1}]
    assert is_writer() == (jax.process_index() == 0)


def train_forever(folder):
    mesh, state, key, epoch, _ = on_mesh_of_all()
    examples = place(TRAIN, replicated_sharding(mesh))
    while True:
        state, metrics = epoch(state, key, examples)
        metrics["loss"].item()
        (folder / f"{jax.process_index()}.steps").write_text(str(state.step))


def fail(folder):
    """The second process raises an error, while the first waits for it in a sum."""
    if jax.process_index() == 1:
        raise RuntimeError("a fault of its own")
    train_forever(folder)


def configure(folder):
    index = jax.process_index()
    check_same({"batch_size": 64 * (1 + index), "seed": 0, "data": ["mnist", "digits"][index], "epochs": 3})


def prepare_slowly(folder):
    """The first process takes a second to make the run folder, and the second process waits for it."""
    create = RunFolder.create

    def create_slowly(*args, **about):
        time.sleep(1)
        create(*args, **about)

    RunFolder.create = create_slowly
    assert prepare(VAE, Settings(run_dir=folder / "run", epochs=3)).folder.config()["epochs"] == 3
