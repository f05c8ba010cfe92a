"""Workloads that train: one model, or several as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lib.benchmark import models
from experiments.lib.benchmark.flops import Product
from experiments.lib.benchmark.work import Call, Setup, Work, named_arrays
from vae_jax import data
from vae_jax.models._model import VAE
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.training import init_train_state, make_train_epoch, make_train_step, over_models
from vae_jax.training.sharding import data_mesh, keep_shardings, place, replicated_sharding, shardings_of


def mlp_work(setup: Setup) -> Work:
    batch, steps = setup.batch_size or 128, setup.steps or 468
    protocol = (
        f"784-400-20-400-784 ReLU, Bernoulli likelihood, Adam 1e-3, batch {batch}; a round is one epoch of {steps} "
        "steps as one program: shuffling, dynamic binarization and noise included; real digits, repeated to fill it"
    )
    peers = ("torch_training.py", "pythae_training.py", "numpyro_training.py")
    images = models.digits(batch * steps)
    return _training(
        "mlp_vae",
        protocol,
        setup,
        models.mlp(setup.dtype),
        data.binarize,
        images,
        batch,
        models.mlp_products(batch),
        peers,
    )


def conv_work(setup: Setup) -> Work:
    batch, steps = setup.batch_size or 64, setup.steps or 16
    protocol = (
        f"convolutions of stride 2, kernels {models.KERNELS}, channels {models.CHANNELS}, dense 256, code 10, "
        f"mirrored; 64 x 64 x 1, Bernoulli likelihood, Adam 1e-3, batch {batch}; a round is {steps} steps as one "
        "program: shuffling, dynamic binarization and noise included; real digits, enlarged twice and padded"
    )
    images = models.sprites(batch * steps)
    return _training(
        "conv_vae",
        protocol,
        setup,
        models.conv(setup.dtype),
        data.binarize,
        images,
        batch,
        models.conv_products(batch),
        ("torch_training.py",),
    )


def cifar_work(setup: Setup) -> Work:
    batch, steps = setup.batch_size or 32, setup.steps or 16
    protocol = (
        "4x4 s2 64, 4x4 s2 128, 3x3 128, two residual layers of 32, a Gaussian code of 8 x 8 x 64, mirrored; "
        f"32 x 32 x 3, Normal likelihood of variance 1 / (2 pi), Adam 1e-3, batch {batch}; a round is {steps} steps "
        "as one program, shuffling and noise included; real digits, padded, in three channels"
    )
    images = models.color_images(batch * steps)
    return _training(
        "conv_cifar",
        protocol,
        setup,
        models.cifar(setup.dtype),
        data.scale,
        images,
        batch,
        models.cifar_products(batch),
        ("torch_training.py",),
    )


def ensemble_work(setup: Setup, members: int = 8) -> Work:
    batch, steps = setup.batch_size or 128, setup.steps or 100
    model, optimizer = models.mlp(setup.dtype), optax.adam(1e-3)
    step = make_train_step(model, with_preprocessing(negative_elbo, data.binarize), optimizer)
    epoch, images = make_train_epoch(step, batch), jnp.asarray(models.digits(batch * steps))
    keys = jax.random.split(jax.random.key(1), members)
    init = jax.jit(jax.vmap(lambda key: init_train_state(model, optimizer, key)))
    together, states = jax.jit(over_models(epoch, num_shared=1), donate_argnums=0), init(keys)
    single = [jax.tree.map(lambda leaf, i=i: jnp.copy(leaf[i]), states) for i in range(members)]

    def round() -> float:
        nonlocal states
        states, metrics = together(states, keys, images)
        return float(jnp.mean(metrics["loss"]))

    def separate() -> float:
        losses = []
        for i, key in enumerate(keys):
            single[i], metrics = epoch(single[i], key, images)
            losses.append(metrics["loss"])
        return float(jnp.mean(jnp.stack(losses)))

    def one_step() -> Call:
        return jax.vmap(step, in_axes=(0, 0, None)), (states, keys, images[:batch])

    protocol = (
        f"{members} VAEs of mlp_vae's shape with different seeds and orders, as one program; a step is one step of "
        f"all {members}; a round is {steps} steps; separate runs: the same {members} models one after another, without "
        "vmap"
    )
    rivals = {f"{members} separate runs": separate}
    products = models.mlp_products(batch) * members
    return Work("ensemble", protocol, members * batch, steps, round, one_step, products, {}, (), rivals)


def _training(
    name: str,
    protocol: str,
    setup: Setup,
    model: VAE,
    prepare: Callable[[jax.Array, jax.Array], jax.Array],
    images: np.ndarray,
    batch: int,
    products: Sequence[Product],
    peers: tuple[str, ...],
) -> Work:
    optimizer, key = optax.adam(1e-3), jax.random.key(1)
    objective = with_preprocessing(negative_elbo, prepare)
    step = make_train_step(model, objective, optimizer)
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(jax.random.key(0))
    on_device, over_devices, rivals, mesh = jnp.asarray(images), step, {}, None
    if setup.devices > 1:
        mesh = data_mesh(setup.devices)
        state, key, on_device = place((state, key, on_device), replicated_sharding(mesh))
        over_devices = keep_shardings(step, shardings_of(state, mesh))
        on_one = setup._replace(devices=1)
        rivals = {"one device": _training(name, protocol, on_one, model, prepare, images, batch, products, peers).round}
    epoch = make_train_epoch(over_devices, batch, mesh=mesh)
    problem = named_arrays(state.params) | {"images": images, "batch_size": np.asarray(batch)}
    problem |= {"binarize": np.asarray(prepare is data.binarize)}

    def round() -> float:
        nonlocal state
        state, metrics = epoch(state, key, on_device)
        return float(metrics["loss"])

    def one_step() -> Call:
        return step, (state, key, on_device[:batch])

    return Work(name, protocol, batch, len(images) // batch, round, one_step, products, problem, peers, rivals)
