"""What 8 devices compute of the problems that are also here, for one device: `python -m training.on_eight_devices DIR`.

Writes DIR/results.npz, and checkpoints of a state that 8 devices hold in parts.
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
from jax.sharding import PartitionSpec

from contract.objectives_table import OBJECTIVES
from fresh import soon_started
from networks.programs import UNRUN
from vae_jax.data import binarize
from vae_jax.models import VAE, mlp_vae, vq_vae
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import Aux, accumulated, negative_elbo, on_prepared, vq_vae_loss
from vae_jax.params import join_buffers, split_buffers
from vae_jax.quantizers import ema_vector_quantizer
from vae_jax.training import Progress, fit, init_train_state, make_evaluate, make_train_epoch, make_train_step
from vae_jax.training.sharding import on_mesh, on_mesh_or_whole, place_examples
from vae_jax.training.checkpoints import OrbaxCheckpoints
from vae_jax.training.sharding import data_mesh, gather, keep_shardings, place, replicated, shardings_of

KEY = jax.random.key(0)
# 50 examples: three batches of 16, two left out; 21 to evaluate: one batch of 16, and 5 that 8 devices do not divide.
BATCH_SIZE = 16
TRAIN = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
VALIDATION = np.random.default_rng(1).integers(0, 256, (21, 4, 4, 1)).astype(np.uint8)
MODEL = soon_started(mlp_vae((4, 4, 1), 2, hidden=(8,)))
OPTIMIZER = optax.adam(1e-2)
OBJECTIVE = on_prepared(negative_elbo, binarize)
RULES = [
    ("hidden_0/kernel", PartitionSpec(None, "model")),
    ("hidden_0/bias", PartitionSpec("model")),
    ("output/kernel", PartitionSpec("model", None)),
]


def value_and_gradient(row, objective):
    """Loss, metrics and gradient of an objective on 16 examples that all differ."""
    model, params, batch = row.problem
    rng = np.random.default_rng(2)
    flat = np.asarray(batch).reshape(len(batch), -1)
    examples = np.concatenate([rng.permuted(flat, axis=1) for _ in range(4)]).reshape(-1, *batch.shape[1:])
    trained, buffers = split_buffers(params)

    @partial(jax.value_and_grad, has_aux=True)
    def loss_of(trained, examples):
        loss, aux = objective(model, join_buffers(trained, buffers), KEY, examples)
        return loss, aux.metrics

    return loss_of, trained, examples


def moments():
    """A model whose buffers keep what a batch-wide objective makes of every batch, as a codebook's averages do."""
    start = {"mean": jnp.zeros(()), "seen": jnp.zeros((3, BATCH_SIZE)), "row": jnp.zeros((), jnp.int32)}

    def objective(model, params, key, batch):
        old = params["buffers"]
        seen, mean = old["seen"].at[old["row"]].set(batch), 0.9 * old["mean"] + 0.1 * jnp.var(batch)
        return jnp.square(params["w"] - jnp.var(batch)), Aux({}, {"mean": mean, "seen": seen, "row": old["row"] + 1})

    nothing = lambda *_: None
    return VAE(lambda key: {"w": jnp.float32(0.5), "buffers": start}, nothing, nothing, nothing), objective


def after_an_epoch(model, objective, examples, lift=lambda objective: objective, placed=lambda tree: tree):
    """The parameters and the metrics."""
    optimizer = optax.sgd(1e-3)
    epoch = make_train_epoch(make_train_step(model, lift(objective), optimizer), BATCH_SIZE)
    state, metrics = epoch(placed(init_train_state(model, optimizer, KEY)), placed(KEY), placed(examples))
    return {"params": state.params, "metrics": metrics}


def moments_after_an_epoch(*how):
    return after_an_epoch(*moments(), np.arange(50, dtype=np.float32), *how)


def codes_after_an_epoch(*how):
    """Moving averages, revived codes and perplexity: with 16 codes for 4 vectors of an image, some die at once."""
    encoder, decoder = mlp_encoder((4, 4, 1), 12, (8,)), mlp_decoder(12, (4, 4, 1, 1), (8,))
    model = vq_vae(encoder, decoder, ema_vector_quantizer(16, 3, decay=0.5, revival=0.5), (2, 2))
    return after_an_epoch(model, on_prepared(vq_vae_loss, binarize), TRAIN, *how)


def initial_state(shardings=None):
    return jax.jit(lambda key: init_train_state(MODEL, OPTIMIZER, key), out_shardings=shardings)(KEY)


def fit_two_epochs(**placement):
    """Its best parameters, and the numbers of every epoch."""
    options = {"epochs": 2, "batch_size": BATCH_SIZE}
    progress = fit(MODEL, OBJECTIVE, OPTIMIZER, TRAIN, VALIDATION, KEY, **options, **placement)
    return {"best": gather(progress.best_params), "history": progress.history}


def by_path(tree):
    return {jax.tree_util.keystr(p, simple=True, separator="/"): a for p, a in jax.tree.leaves_with_path(tree)}


def flat(name, tree):
    return {f"{name}/{path}": np.asarray(leaf) for path, leaf in by_path(tree).items()}


def collectives(program):
    """The kinds of communication in a compiled program, each with the type of its result."""
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    return re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", program.as_text())


def collectives_of_microbatches(mesh):
    """Of a gradient over two microbatches of 16: each must be split over all devices, not lie on half of them."""
    params, batch = MODEL.init(KEY), jnp.zeros((32, *np.shape(TRAIN)[1:]))
    objective = on_mesh(accumulated(negative_elbo, 2), mesh)
    gradient = jax.jit(jax.grad(lambda params, key, batch: objective(MODEL, params, key, batch)[0]))
    return collectives(gradient.lower(*place((params, KEY, batch), replicated(mesh))).compile(UNRUN))


def main(folder):
    results, facts = {}, {}
    mesh = data_mesh()
    everywhere = replicated(mesh)
    for name, row in OBJECTIVES.items():
        function, trained, examples = value_and_gradient(row, on_mesh(row.objective, mesh))
        results |= flat(
            f"objectives/{name}", jax.jit(function)(place(trained, everywhere), place(examples, everywhere))
        )

    how = lambda o: on_mesh(o, mesh), lambda t: place(t, everywhere)
    results |= flat("moments", moments_after_an_epoch(*how)) | flat("codes", codes_after_an_epoch(*how))

    key, train = place(KEY, everywhere), place_examples(TRAIN, len(TRAIN), mesh)
    validation = place_examples(VALIDATION, len(VALIDATION), mesh)
    evaluate = make_evaluate(MODEL, on_mesh_or_whole(OBJECTIVE, mesh), BATCH_SIZE)
    for name, mesh_of, rules in (("replicated", mesh, ()), ("split", data_mesh(model=2), RULES)):
        shardings = shardings_of(jax.eval_shape(lambda: init_train_state(MODEL, OPTIMIZER, KEY)), mesh_of, rules)
        step = keep_shardings(make_train_step(MODEL, on_mesh(OBJECTIVE, mesh_of), OPTIMIZER), shardings)
        epoch = make_train_epoch(step, BATCH_SIZE)
        state = initial_state(shardings)
        program = epoch.lower(state, place(key, replicated(mesh_of)), train).compile(UNRUN)
        after, metrics = epoch(state, place(key, replicated(mesh_of)), train)
        results |= flat(f"{name}/state", after._asdict()) | flat(f"{name}/metrics", metrics)
        results |= flat(f"{name}/validation", evaluate(after.params, key, validation))
        facts[name] = {
            "collectives": collectives(program),
            "kept": all(
                leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
                for leaf, sharding in zip(jax.tree.leaves(after), jax.tree.leaves(shardings), strict=True)
            ),
            "given_back": all(leaf.is_deleted() for leaf in jax.tree.leaves(state)),
            "parts": {n: a.addressable_shards[0].data.shape for n, a in by_path(after).items()},
        }
        OrbaxCheckpoints(folder / name, KEY, {}).save(Progress(after, after.params, ({"epoch": 1.0},)))
        results |= flat(f"{name}/fit", fit_two_epochs(mesh=mesh_of, rules=rules))
    # Rules that leave the arrays beside the split ones to the compiler.
    partial_rules = [("encoder/hidden_0/kernel", PartitionSpec(None, "model"))]
    results |= flat("partial/fit", fit_two_epochs(mesh=data_mesh(model=2), rules=partial_rules))
    facts["accumulated"] = collectives_of_microbatches(mesh)
    np.savez(folder / "results.npz", **results)
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
