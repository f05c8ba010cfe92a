"""Tests of networks whose outputs are a tree of arrays."""

import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.networks import Network, num_outputs, with_tree_outputs

SHAPES = {"b": (2, 3), "a": (), "c": [(1,), (4,)]}


def test_a_vector_is_split_in_the_order_of_the_leaves():
    assert num_outputs(SHAPES) == 12
    network = with_tree_outputs(Network(lambda key: {}, lambda params, x: x), SHAPES)
    outputs = network.apply({}, jnp.arange(12.0))
    np.testing.assert_array_equal(outputs["a"], 0.0)
    np.testing.assert_array_equal(outputs["b"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(outputs["c"][0], [7])
    np.testing.assert_array_equal(outputs["c"][1], [8, 9, 10, 11])


def test_a_vector_of_another_length_is_refused():
    network = with_tree_outputs(Network(lambda key: {}, lambda params, x: x), SHAPES)
    with pytest.raises(ValueError, match=r"network must give a vector of 12 outputs, got an array of shape \(11,\)"):
        network.apply({}, jnp.zeros(11))
