"""Code tables made by hand, for the tests of the scores."""

import math

import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.disentanglement import CodeTable, code_table

SIZES = (3, 6, 40, 32, 32)  # sizes of the factors of dSprites


def factors(sizes=SIZES):
    """Factors of all images, `[N, K]`, float64."""
    return np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), 1).astype(np.float64)


def spread(sizes=SIZES):
    """Codes with a latent of unit variance for every factor."""
    columns = factors(sizes)
    return (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-9)


def noise(width, sizes=SIZES, seed=0):
    return np.random.default_rng(seed).normal(size=(math.prod(sizes), width))


def table(*columns, sizes=SIZES) -> CodeTable:
    return code_table(jnp.asarray(np.concatenate(columns, axis=1), jnp.float32), sizes)
