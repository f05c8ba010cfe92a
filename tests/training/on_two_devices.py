"""Continues training on 2 devices from states that 8 devices saved: `python -m training.on_two_devices FOLDER OUT`."""

import sys
from pathlib import Path

import jax
import numpy as np

from training.on_eight_devices import (
    BATCH_SIZE,
    KEY,
    MODEL,
    OBJECTIVE,
    OPTIMIZER,
    RULES,
    TRAIN,
    flat,
    initial_state,
)
from vae_jax.training import Progress, make_train_epoch, make_train_step
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.sharding import data_mesh, keep_shardings, replicate, shardings_of


def trained_on(folder, mesh, rules):
    """Restores the state in a folder and trains one epoch; returns the arrays of both states by name."""
    shardings = shardings_of(jax.eval_shape(initial_state), mesh, rules)
    like = initial_state(shardings)
    restored = OrbaxCheckpoints(folder, KEY, {}).restore(Progress(like, like.params, ())).state
    found = flat("restored", restored)
    for leaf, sharding in zip(jax.tree.leaves(restored), jax.tree.leaves(shardings), strict=True):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
    step = keep_shardings(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), shardings)
    examples = replicate(TRAIN, mesh)
    after, _ = make_train_epoch(step, BATCH_SIZE, mesh=mesh)(restored, replicate(KEY, mesh), examples)
    return found | flat("after", after)


def main(folder, out):
    replicated_state = trained_on(folder / "replicated", data_mesh(), ())
    split_state = trained_on(folder / "split", data_mesh(model=2), RULES)
    np.savez(out, **flat("replicated", replicated_state), **flat("split", split_state))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
