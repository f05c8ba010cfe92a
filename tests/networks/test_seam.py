"""Tests of `Network`, `from_linen` and `from_nnx`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from vae_jax.networks import from_linen, from_nnx


class NnxPerceptron(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 5, rngs=rngs)
        self.output = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        return self.output(jnp.tanh(self.hidden(x)))


class NnxWithDropout(NnxPerceptron):
    def __init__(self, rngs):
        super().__init__(rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


class NnxWithBatchNorm(NnxPerceptron):
    def __init__(self, rngs):
        super().__init__(rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)


class LinenWithBatchNorm(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=True)(linen.Dense(3)(x))


def assert_plain_dicts_of_arrays(tree):
    if isinstance(tree, jax.Array):
        return
    assert type(tree) is dict
    for branch in tree.values():
        assert_plain_dicts_of_arrays(branch)


def test_a_linen_network_gives_the_outputs_of_the_module():
    module = linen.Dense(4)
    network = from_linen(module, (3,))
    params = network.init(jax.random.key(0))
    assert_plain_dicts_of_arrays(params)
    x = jnp.array([0.3, -1.0, 2.0])
    by_hand = np.asarray(x, np.float64) @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"])
    np.testing.assert_allclose(network.apply(params, x), by_hand, rtol=1e-5)
    np.testing.assert_array_equal(params["kernel"], module.init(jax.random.key(0), jnp.zeros(3))["params"]["kernel"])


def test_a_linen_module_with_batch_statistics_is_refused_by_collection():
    with pytest.raises(ValueError, match=r"LinenWithBatchNorm owns collections .*: batch_stats;.*LayerNorm"):
        from_linen(LinenWithBatchNorm(), (3,)).init(jax.random.key(0))


def test_an_nnx_network_gives_the_outputs_of_the_module():
    key, x = jax.random.key(7), jnp.array([0.3, -1.0, 2.0])
    module = NnxPerceptron(nnx.Rngs(key))
    network = from_nnx(lambda rngs: NnxPerceptron(rngs))
    params = network.init(key)
    np.testing.assert_array_equal(network.apply(params, x), module(x))
    hidden = np.tanh(np.asarray(x) @ np.asarray(params["hidden"]["kernel"]) + np.asarray(params["hidden"]["bias"]))
    expected = hidden @ np.asarray(params["output"]["kernel"]) + np.asarray(params["output"]["bias"])
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-5)


def test_an_nnx_networks_params_are_plain_dicts_and_follow_the_key():
    network = from_nnx(NnxPerceptron)
    params, others = network.init(jax.random.key(0)), network.init(jax.random.key(1))
    assert_plain_dicts_of_arrays(params)
    assert {name: set(layer) for name, layer in params.items()} == {
        "hidden": {"kernel", "bias"},
        "output": {"kernel", "bias"},
    }
    assert np.abs(params["hidden"]["kernel"] - others["hidden"]["kernel"]).max() > 0.1


def test_gradients_reach_every_parameter_of_an_nnx_network_under_jit():
    network = from_nnx(NnxPerceptron)
    params, x = network.init(jax.random.key(0)), jnp.array([0.3, -1.0, 2.0])
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(network.apply(p, x))))(params)
    # d sum(outputs) / d output bias = 1, and d sum(outputs) / d output kernel[i, j] = hidden[i].
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    np.testing.assert_allclose(gradient["output"]["bias"], np.ones(2), rtol=1e-6)
    np.testing.assert_allclose(gradient["output"]["kernel"], np.stack([hidden, hidden], axis=1), rtol=1e-5)
    through = (params["output"]["kernel"].sum(axis=1)) * (1.0 - hidden**2)
    np.testing.assert_allclose(gradient["hidden"]["kernel"], np.outer(x, through), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("module", "owned"), [(NnxWithDropout, "RngCount"), (NnxWithBatchNorm, "BatchStat")])
def test_the_message_for_an_nnx_module_with_state_names_its_variables(module, owned):
    with pytest.raises(ValueError, match=rf"variables other than nnx.Param: .*{owned}.*LayerNorm"):
        from_nnx(lambda rngs: module(rngs))
