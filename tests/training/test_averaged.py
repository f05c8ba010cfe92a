"""Moving averages of parameters, against their closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.training import averaged, averaged_params, partitioned


def means(optimizer, params, gradients):
    """The average after each step, and the parameters."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (averaged_params(state, params), params)

    return jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), gradients)[1])()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_average_is_the_weighted_mean_of_the_parameters_after_each_step(decay):
    gradients = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)), jnp.float32)
    found, path = means(averaged(optax.sgd(0.1), decay), jnp.ones(3), gradients)
    np.testing.assert_allclose(path, 1.0 - 0.1 * np.cumsum(gradients, axis=0), rtol=1e-5)  # trained as without it
    path = np.asarray(path, np.float64)
    for t in range(1, 21):
        weights = decay ** np.arange(t - 1, -1, -1.0)
        np.testing.assert_allclose(found[t - 1], weights @ path[:t] / weights.sum(), rtol=1e-5)


def test_before_the_first_step_the_average_is_the_parameters_and_a_copy_of_them():
    params = {"w": jnp.arange(3.0), "half": jnp.ones(2, jnp.bfloat16)}
    state = averaged(optax.sgd(0.1), 0.9).init(params)
    jax.tree.map(np.testing.assert_array_equal, averaged_params(state, params), params)
    params["w"].delete()
    np.testing.assert_array_equal(state.mean["w"], [0.0, 1.0, 2.0])


@pytest.mark.slow
def test_the_rounding_of_many_steps_does_not_add_up():
    path = (1.2345 + 0.01 * np.random.default_rng(0).normal(size=(20_000, 30))).astype(np.float32)
    found, path = means(averaged(optax.sgd(1.0), 0.9999), path[0], -np.diff(path, axis=0))
    expected, weight = np.zeros(30), 0.0
    for params in np.asarray(path, np.float64):
        weight = 0.9999 * weight + 1.0
        expected += (params - expected) / weight
    np.testing.assert_allclose(found[-1], expected, rtol=3e-5)  # optax.ema is off by 1.7e-4


def test_the_average_of_parameters_of_half_precision_follows_in_float32():
    # From 1 to 2 after one step: with a weight of 0.001, less than the distance of two bfloat16 numbers there.
    gradients = jnp.zeros(2001, jnp.bfloat16).at[1].set(-1.0)
    found, path = means(averaged(optax.sgd(1.0), 0.999), jnp.ones((), jnp.bfloat16), gradients)
    assert found.dtype == path.dtype == jnp.bfloat16
    share = (1.0 - 0.999**2000) / (1.0 - 0.999**2001)
    np.testing.assert_allclose(float(found[-1]), 1.0 + share, rtol=2**-8)


def test_parameters_that_do_not_move_keep_their_bits_and_may_be_infinite():
    params = {"mask": jnp.array([-jnp.inf, 0.1]), "w": jnp.ones(2)}
    optimizer = averaged(partitioned(optax.sgd(0.1), {"mask": optax.set_to_zero()}), 0.9)
    found, path = means(optimizer, params, jax.tree.map(lambda leaf: jnp.ones((5, *leaf.shape)), params))
    np.testing.assert_array_equal(found["mask"][-1], params["mask"])
    weights = 0.9 ** np.arange(4, -1, -1.0)
    np.testing.assert_allclose(found["w"][-1], weights @ np.asarray(path["w"]) / weights.sum(), rtol=1e-6)


def test_the_loss_reaches_an_optimizer_that_asks_for_it():
    optimizer, params = averaged(optax.polyak_sgd(max_learning_rate=10.0), 0.9), jnp.array(4.0)
    updates, _ = optimizer.update(jnp.array(4.0), optimizer.init(params), params, value=jnp.array(8.0))
    np.testing.assert_allclose(updates, -8.0 / 4.0**2 * 4.0, rtol=1e-6)  # of w^2 / 2: value / |gradient|^2 times it


def test_what_is_no_decay_and_the_state_of_another_optimizer_are_refused():
    for decay, error, message in (
        (1.0, ValueError, r"decay must be in \[0, 1\), got 1.0"),
        (-0.1, ValueError, r"decay must be in \[0, 1\), got -0.1"),
        (float("nan"), ValueError, "decay must be a finite number, got nan"),
        ("0.9", TypeError, "decay must be a number, got '0.9'"),
    ):
        with pytest.raises(error, match=message):
            averaged(optax.sgd(0.1), decay)
    params = jnp.ones(2)
    with pytest.raises(TypeError, match=r"the state of an optimizer made by training\.averaged, got a tuple"):
        averaged_params(optax.sgd(0.1).init(params), params)
