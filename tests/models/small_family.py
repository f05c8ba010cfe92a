"""A small conditional VAE with data, and the loss of a batch with and without the binding of contexts."""

import jax
import numpy as np

from fresh import some_params
from vae_jax.models import (
    Example,
    conditional_vae,
    contexts,
)

IMAGE = (2, 2, 1)
XS = np.random.default_rng(0).integers(0, 2, (6, *IMAGE)).astype(np.float32)
YS = np.arange(6, dtype=np.int32) % 3
LABELS = contexts.labels(3)
FAMILY = conditional_vae(IMAGE, LABELS, 2, (5,))
PARAMS = some_params(FAMILY)
KEY = jax.random.key(1)


def loss(objective, model, params, xs, ys):
    return jax.jit(lambda p, xs, ys: objective(model, p, KEY, Example(xs, ys))[0])(params, xs, ys)


def loss_by_loop(bound, given, params, xs, ys):
    """Mean loss by a loop over the examples, each with the VAE of its context."""
    keys = jax.random.split(KEY, len(ys))
    at = lambda i: jax.tree.map(lambda leaf: leaf[i], xs)
    return -np.mean([bound(given(y), params, key, at(i)) for i, (y, key) in enumerate(zip(ys, keys, strict=True))])
