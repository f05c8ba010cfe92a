"""Workloads that use a model: its likelihood by importance sampling, and samples from it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lib.benchmark import models
from experiments.lib.benchmark.flops import FORWARD, Product
from experiments.lib.benchmark.models import HIDDEN, LATENT
from experiments.lib.benchmark.work import Call, Setup, Work, named_arrays
from vae_jax import data
from vae_jax.evaluation import importance_sampling
from vae_jax.models import sample


def importance_sampling_work(setup: Setup, images: int = 200, num_samples: int = 1000) -> Work:
    images, model = setup.steps or images, models.mlp(setup.dtype)
    params = jax.jit(model.init)(jax.random.key(0))
    xs = data.scale(jax.random.key(0), data.static_binarization(models.digits(images), 1))

    def round() -> float:
        estimates = importance_sampling(model, params, jax.random.key(2), xs, num_samples)
        return -float(jnp.mean(estimates.log_likelihood))

    def step() -> Call:
        # One image and all of its samples: the program loops over images, and a loop counts once.
        def weights(params: Any, key: jax.Array, x: jax.Array) -> jax.Array:
            posterior = model.encode(params, x)

            def weight(key: jax.Array) -> jax.Array:
                z, log_q = posterior.sample_and_log_prob(key)
                return model.decode(params, z).log_prob(x) + model.prior(params).log_prob(z) - log_q

            return jax.vmap(weight)(jax.random.split(key, num_samples))

        return weights, (params, jax.random.key(0), xs[0])

    protocol = (
        f"784-400-20 ReLU, fresh weights; the nll of {images} real digits by K = {num_samples} importance samples "
        "each; a step is one image and its samples, a round all images"
    )
    products = [
        Product(1, 784, HIDDEN, FORWARD),
        Product(1, HIDDEN, 2 * LATENT, FORWARD),
        Product(num_samples, LATENT, HIDDEN, FORWARD),
        Product(num_samples, HIDDEN, 784, FORWARD),
    ]
    problem = named_arrays(params) | {"xs": np.asarray(xs), "num_samples": np.asarray(num_samples)}
    return Work("importance_sampling", protocol, 1, images, round, step, products, problem, ("torch_likelihood.py",))


def sampling_work(setup: Setup) -> Work:
    batch, steps = setup.batch_size or 1000, setup.steps or 20
    model = models.mlp(setup.dtype)
    params = jax.jit(model.init)(jax.random.key(0))
    sharding = setup.batch_sharding()

    def pictures(params: Any, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, batch)
        keys = keys if sharding is None else jax.lax.with_sharding_constraint(keys, sharding)
        return jax.vmap(partial(sample, model, params))(keys)

    program = jax.jit(lambda params, key: jax.lax.map(partial(pictures, params), jax.random.split(key, steps)))
    key = jax.random.key(1)

    def round() -> float:
        nonlocal key
        key, used = jax.random.split(key)
        jax.block_until_ready(program(params, used))
        return 0.0

    protocol = (
        f"784-400-20 ReLU: z from the prior, decoded to mean images; a step is {batch} images, a round {steps} steps "
        "as one program"
    )
    products = [Product(batch, *pair, FORWARD) for pair in ((LATENT, HIDDEN), (HIDDEN, 784))]
    return Work("sampling", protocol, batch, steps, round, lambda: (pictures, (params, key)), products, {})
