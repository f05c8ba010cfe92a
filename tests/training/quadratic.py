"""Quadratic loss of the sum of two parts of params, the same for every batch, for tests of optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.models import VAE
from vae_jax.objectives import Aux

KEY = jax.random.key(0)
EPOCHS, STEPS, RATE = 6, 4, 0.1  # STEPS per epoch
# All batches are the same: the parameters converge to AIM, and pass the optimum of the validation loss on the way.
AIM, VALIDATION = np.full((2, 2), 1.0, np.float32), np.full((2, 2), 0.55, np.float32)


def nothing(*_):
    raise AssertionError("the toy objective uses no distribution")


def quadratic(model, params, key, batch):
    """Loss |encoder + critic - x|^2 / 2, whose gradient is the same for both parts."""
    error = (params["encoder"] + params["critic"])[None] - batch
    return 0.5 * jnp.mean(jnp.sum(jnp.square(error), (1, 2))), Aux({}, None)


MODEL = VAE(lambda key: {"encoder": jnp.zeros((2, 2)), "critic": jnp.zeros((2, 2))}, nothing, nothing, nothing)
TRAIN, HELD_OUT = np.tile(AIM, (4 * STEPS, 1, 1)), np.tile(VALIDATION, (3, 1, 1))


class Stream:
    batch_size, steps_per_epoch = 4, STEPS

    def __iter__(self):
        return self

    def __next__(self):
        return TRAIN[:4]

    def seek(self, batch):
        pass


def loop(optimizer, num_steps):
    """Parameters and the optimizer's state after each step, by optax alone."""
    extended, params = optax.with_extra_args_support(optimizer), MODEL.init(KEY)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(lambda params: quadratic(MODEL, params, KEY, AIM[None])[0])(params)
        updates, state = extended.update(gradient, state, params, value=value)
        return optax.apply_updates(params, updates), state

    path = [(params, optimizer.init(params))]
    for _ in range(num_steps):
        path.append(step(*path[-1]))
    return path[1:]
