"""Initial parameters of models, without the seconds that a model's `init` takes to compile.

Without jit each operation of `init` is compiled separately, and with jit compilation takes longer than most tests.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.models import VAE
from vae_jax.networks import Network
from vae_jax.training import TrainState, init_train_state


def init(of: VAE | Network, key: jax.Array):
    """Returns `of.init(key)`, jitted."""
    return jax.jit(of.init)(key)


def some_params(of: VAE | Network, seed: int = 0):
    """Parameters of the shapes of `of.init`, drawn by numpy: kernels that preserve variance, and zeros elsewhere."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if len(leaf.shape) < 2:
            return np.zeros(leaf.shape, leaf.dtype)
        return (rng.normal(size=leaf.shape) / math.sqrt(math.prod(leaf.shape[:-1]))).astype(leaf.dtype)

    return jax.device_put(jax.tree.map(draw, jax.eval_shape(of.init, jax.random.key(0))))


def soon_started(model: VAE) -> VAE:
    """Model with an `init` that compiles in a fraction of the time: `some_params`, randomly scaled by the key."""
    leaves, structure = jax.tree.flatten(some_params(model))
    ends = np.cumsum([leaf.size for leaf in leaves])

    def init(key):
        scales = jnp.split(jax.random.uniform(key, (ends[-1],), minval=0.5, maxval=1.5), ends[:-1])
        scaled = [leaf * scale.reshape(leaf.shape) for leaf, scale in zip(leaves, scales, strict=True)]
        return jax.tree.unflatten(structure, scaled)

    return model._replace(init=init)


def some_state(model: VAE, optimizer, seed: int = 0) -> TrainState:
    """Initial training state with `some_params`."""
    begin = lambda params: init_train_state(model._replace(init=lambda key: params), optimizer, jax.random.key(0))
    return jax.jit(begin)(some_params(model, seed))
