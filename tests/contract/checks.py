"""What the contract tests share."""

import jax
import numpy as np

from fresh import init


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected)


def assert_all_finite(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert np.isfinite(leaf).all(), f"{jax.tree_util.keystr(path)}: {leaf}"


def params_of(row, seed=0):
    return init(row.model, jax.random.key(seed))
