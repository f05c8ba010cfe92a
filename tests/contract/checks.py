"""Helpers of the contract tests."""

import functools

import jax
import numpy as np


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected)


def assert_all_finite(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert np.isfinite(leaf).all(), f"{jax.tree_util.keystr(path)}: {leaf}"


@functools.cache
def params_of(model):
    """Initial parameters, made without jit: most operations are already compiled for the previous models."""
    return model.init(jax.random.key(0))
