"""Program for 8 devices, and the same problems for one device: `python -m training.on_eight_devices DIR`.

Writes DIR/results.npz, and checkpoints of a state that is split over 8 devices.
"""

import json
import re
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import PartitionSpec

from fresh import soon_started
from networks.programs import UNRUN
from vae_jax.data import binarize
from vae_jax.models import VAE, mlp_vae, vq_vae
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import Aux, negative_elbo, vq_vae_loss, with_preprocessing
from vae_jax.params import join_buffers, split_buffers
from vae_jax.quantizers import ema_vector_quantizer
from vae_jax.training import (
    Examples,
    Progress,
    averaged,
    averaged_params,
    drawn,
    evaluated_params,
    fit,
    init_train_state,
    make_evaluate,
    make_train_epoch,
    make_train_step,
)
from vae_jax.training._step import differentiated
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.sharding import data_mesh, keep_shardings, place, replicated_sharding, shardings_of, split_batch

KEY = jax.random.key(0)
# 50 examples: three batches of 16, two left out; 21 to evaluate: one batch of 16, and 5 that 8 devices do not divide.
BATCH_SIZE = 16
TRAIN = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
VALIDATION = np.random.default_rng(1).integers(0, 256, (21, 4, 4, 1)).astype(np.uint8)
MODEL = soon_started(mlp_vae((4, 4, 1), 2, hidden=(8,)))
OPTIMIZER = optax.adam(1e-2)
OBJECTIVE = with_preprocessing(negative_elbo, binarize)
RULES = [
    ("hidden_0/kernel", PartitionSpec(None, "model")),
    ("hidden_0/bias", PartitionSpec("model")),
    ("output/kernel", PartitionSpec("model", None)),
]


def value_and_gradient(row, mesh=None):
    """Loss, metrics and gradient of an objective on 16 examples that all differ."""
    model, params, batch = row.problem
    rng = np.random.default_rng(2)

    def permuted(leaf):
        flat = np.asarray(leaf).reshape(len(leaf), -1)
        return np.concatenate([rng.permuted(flat, axis=1) for _ in range(4)]).reshape(-1, *leaf.shape[1:])

    examples = jax.tree.map(permuted, batch)
    trained, buffers = split_buffers(params)

    @partial(jax.value_and_grad, has_aux=True)
    def loss_of(trained, examples):
        loss, aux = row.objective(model, join_buffers(trained, buffers), KEY, split_batch(examples, mesh))
        return loss, aux.metrics

    return loss_of, trained, examples


def moments():
    """Model with buffers that an objective of the whole batch updates, as the averages of a codebook are updated."""
    start = {"mean": jnp.zeros(()), "seen": jnp.zeros((3, BATCH_SIZE)), "row": jnp.zeros((), jnp.int32)}

    def objective(model, params, key, batch):
        old = params["buffers"]
        seen, mean = old["seen"].at[old["row"]].set(batch), 0.9 * old["mean"] + 0.1 * jnp.var(batch)
        return jnp.square(params["w"] - jnp.var(batch)), Aux({}, {"mean": mean, "seen": seen, "row": old["row"] + 1})

    nothing = lambda *_: None
    return VAE(lambda key: {"w": jnp.float32(0.5), "buffers": start}, nothing, nothing, nothing), objective


def after_an_epoch(model, objective, examples, mesh=None, microbatches=1, **options):
    """Parameters and metrics."""
    optimizer = optax.sgd(1e-3)
    epoch = make_train_epoch(
        make_train_step(model, objective, optimizer, microbatches), BATCH_SIZE, mesh=mesh, **options
    )
    placed = (lambda tree: tree) if mesh is None else (lambda tree: place(tree, replicated_sharding(mesh)))
    state, metrics = epoch(placed(init_train_state(model, optimizer, KEY)), placed(KEY), placed(examples))
    return {"params": state.params, "metrics": metrics}


def moments_after_an_epoch(mesh=None):
    return after_an_epoch(*moments(), np.arange(50, dtype=np.float32), mesh)


# Examples that are dicts of leaves of different rank and type.
TABLE = {
    "age": np.random.default_rng(3).normal(size=50).astype(np.float32),
    "marks": np.random.default_rng(4).normal(size=(50, 4)).astype(np.float32),
    "group": np.random.default_rng(5).integers(0, 3, 50),
}


def noisy_rows(data, key, indices):
    """Rows of the table and noise drawn with the key, which is not part of the data."""
    taken = jax.tree.map(lambda leaf: leaf[indices], data)
    return {**taken, "noise": jax.random.normal(key, indices.shape)}


def tables():
    """Model of rows of the table, fitted to them and to noise that differs in every example."""

    def objective(model, params, key, batch):
        offset = jax.random.normal(key, batch["age"].shape) + batch.get("noise", 0.0)
        predicted = batch["marks"] @ params["w"] + params["of_group"][batch["group"]]
        return jnp.mean(jnp.square(predicted - batch["age"] - offset)), Aux({"offset": jnp.mean(offset)}, None)

    nothing = lambda *_: None
    return VAE(lambda key: {"w": jnp.ones(4), "of_group": jnp.ones(3)}, nothing, nothing, nothing), objective


def tables_after_an_epoch(mesh=None):
    """Epochs on rows, and five steps on examples that are generated from drawn indices."""
    generated = Examples(TABLE, 50, noisy_rows, drawn)
    return {
        "rows": after_an_epoch(*tables(), TABLE, mesh),
        "generated": after_an_epoch(*tables(), generated, mesh, num_steps=5),
    }


def fit_tables(mesh=None):
    """Training rows, and held-out rows whose last batch 8 devices do not divide."""
    validation = jax.tree.map(lambda leaf: leaf[:21], TABLE)
    progress = fit(*tables(), optax.sgd(0.01), TABLE, validation, KEY, epochs=2, batch_size=BATCH_SIZE, mesh=mesh)
    return {"best": process_allgather(progress.best_params, tiled=True), "history": progress.history}


def microbatches_after_an_epoch(mesh=None):
    return after_an_epoch(MODEL, OBJECTIVE, TRAIN, mesh, microbatches=2)


def codes_after_an_epoch(mesh=None):
    """Moving averages, revived codes and perplexity: with 16 codes for 4 vectors of an image, some die at once."""
    encoder, decoder = mlp_encoder((4, 4, 1), 12, (8,)), mlp_decoder(12, (4, 4, 1, 1), (8,))
    model = vq_vae(encoder, decoder, ema_vector_quantizer(16, 3, decay=0.5, revival=0.5), (2, 2))
    return after_an_epoch(model, with_preprocessing(vq_vae_loss, binarize), TRAIN, mesh)


def initial_state(shardings=None):
    return jax.jit(lambda key: init_train_state(MODEL, OPTIMIZER, key), out_shardings=shardings)(KEY)


def fit_two_epochs(**placement):
    """Best parameters of the fit, and the metrics of every epoch."""
    options = {"epochs": 2, "batch_size": BATCH_SIZE}
    progress = fit(MODEL, OBJECTIVE, OPTIMIZER, TRAIN, VALIDATION, KEY, **options, **placement)
    return {"best": process_allgather(progress.best_params, tiled=True), "history": progress.history}


def fit_averaged(**placement):
    """Best parameters, metrics of every epoch and last average of a fit that validates a moving average."""
    optimizer, options = averaged(OPTIMIZER, 0.5), {"epochs": 2, "batch_size": BATCH_SIZE}
    progress = fit(
        MODEL, OBJECTIVE, optimizer, TRAIN, VALIDATION, KEY, evaluated=averaged_params, **options, **placement
    )
    return progress, {
        "best": process_allgather(progress.best_params, tiled=True),
        "history": progress.history,
        "mean": process_allgather(evaluated_params(averaged_params, progress.state), tiled=True),
    }


def by_path(tree):
    return {jax.tree_util.keystr(p, simple=True, separator="/"): a for p, a in jax.tree.leaves_with_path(tree)}


def flat(name, tree):
    return {f"{name}/{path}": np.asarray(leaf) for path, leaf in by_path(tree).items()}


def collectives(program):
    """Kinds of communication in a compiled program, each with the type of its result."""
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    return re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", program.as_text())


def collectives_of_microbatches(mesh):
    """Communication in a gradient over two microbatches of 16, each of which must be split over all devices."""
    state, batch = init_train_state(MODEL, OPTIMIZER, KEY), jnp.zeros((32, *np.shape(TRAIN)[1:]))
    gradient = jax.jit(lambda *args: differentiated(MODEL, negative_elbo, *args[:-1], split_batch(args[-1], mesh), 2))
    return collectives(gradient.lower(*place((state, KEY, batch), replicated_sharding(mesh))).compile(UNRUN))


def main(folder):
    # Only here: the table makes the parameters of many models, and other processes import this module for its problems.
    from contract.objectives_table import OBJECTIVES

    results, facts = {}, {}
    mesh = data_mesh()
    everywhere = replicated_sharding(mesh)
    for name, row in OBJECTIVES.items():
        function, trained, examples = value_and_gradient(row, mesh)
        results |= flat(
            f"objectives/{name}", jax.jit(function)(place(trained, everywhere), place(examples, everywhere))
        )

    results |= flat("moments", moments_after_an_epoch(mesh)) | flat("codes", codes_after_an_epoch(mesh))
    results |= flat("tables", tables_after_an_epoch(mesh)) | flat("tables/fit", fit_tables(mesh))
    results |= flat("microbatches", microbatches_after_an_epoch(mesh))

    key, train = place(KEY, everywhere), place(TRAIN, everywhere)
    validation = place(VALIDATION, everywhere)
    evaluate = make_evaluate(MODEL, OBJECTIVE, BATCH_SIZE, mesh)
    for name, mesh_of, rules in (("replicated", mesh, ()), ("split", data_mesh(model=2), RULES)):
        shardings = shardings_of(jax.eval_shape(lambda: init_train_state(MODEL, OPTIMIZER, KEY)), mesh_of, rules)
        step = keep_shardings(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), shardings)
        epoch = make_train_epoch(step, BATCH_SIZE, mesh=mesh_of)
        state = initial_state(shardings)
        program = epoch.lower(state, place(key, replicated_sharding(mesh_of)), train).compile(UNRUN)
        after, metrics = epoch(state, place(key, replicated_sharding(mesh_of)), train)
        results |= flat(f"{name}/state", after._asdict()) | flat(f"{name}/metrics", metrics)
        results |= flat(f"{name}/validation", evaluate(after.params, key, validation))
        facts[name] = {
            "collectives": collectives(program),
            "of_evaluation": collectives(evaluate.lower(after.params, key, validation).compile(UNRUN)),
            "kept": all(
                leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
                for leaf, sharding in zip(jax.tree.leaves(after), jax.tree.leaves(shardings), strict=True)
            ),
            "given_back": all(leaf.is_deleted() for leaf in jax.tree.leaves(state)),
            "parts": {n: a.addressable_shards[0].data.shape for n, a in by_path(after).items()},
        }
        OrbaxCheckpoints(folder / name, KEY, {}).save(Progress(after, after.params, ({"epoch": 1.0},)))
        results |= flat(f"{name}/fit", fit_two_epochs(mesh=mesh_of, rules=rules))
    # Rules for some arrays only; the compiler chooses the shardings of the others.
    partial_rules = [("encoder/hidden_0/kernel", PartitionSpec(None, "model"))]
    results |= flat("partial/fit", fit_two_epochs(mesh=data_mesh(model=2), rules=partial_rules))
    progress, found = fit_averaged(mesh=data_mesh(model=2), rules=RULES)
    results |= flat("averaged/fit", found)
    facts["averaged"] = {
        n: a.addressable_shards[0].data.shape for n, a in by_path(progress.state.opt_state.mean).items()
    }
    facts["microbatches"] = collectives_of_microbatches(mesh)
    np.savez(folder / "results.npz", **results)
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
