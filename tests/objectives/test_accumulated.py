"""`accumulated`: the numbers of the large batch, in the memory of a small one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contract.checks import assert_trees_close
from contract.objectives_table import IMAGES, OBJECTIVES
from fresh import some_params, some_state, soon_started
from networks.programs import UNRUN, products_of
from vae_jax import objectives as o
from vae_jax.models import mlp_vae
from vae_jax.objectives._batch import keys_of_examples
from vae_jax.params import join_buffers, split_buffers
from vae_jax.training import fit_ensemble, init_train_state, make_train_epoch, make_train_step

MEANS = {name: row for name, row in OBJECTIVES.items() if not row.needs_batch and row.name != "accumulated"}
mean_rows = pytest.mark.parametrize("row", MEANS.values(), ids=MEANS.keys())
MODEL = soon_started(mlp_vae((4, 4, 1), 2, (8,)))
KEY = jax.random.key(0)
PARAMS = some_params(MODEL)
EIGHT = (np.random.default_rng(2).random((8, 4, 4, 1)) < 0.5).astype(np.float32)


def value_and_gradient(objective, model, params, key, batch):
    """As the training step takes them: of the trained leaves, closing over the buffers."""
    trained, buffers = split_buffers(params)
    loss_of = lambda trained: objective(model, join_buffers(trained, buffers), key, batch)
    return jax.value_and_grad(loss_of, has_aux=True)(trained)


@pytest.mark.slow
@mean_rows
def test_loss_metrics_buffers_and_gradient_are_those_of_the_whole_batch(row):
    model, params, batch = row.problem
    params = join_buffers(split_buffers(params)[0], {**params.get("buffers", {}), "count": jnp.arange(3)})
    compute = jax.jit(value_and_gradient, static_argnums=(0, 1))
    expected, actual, smallest = (
        compute(objective, model, params, jax.random.key(3), batch)
        for objective in (row.objective, o.accumulated(row.objective, 2), o.accumulated(row.objective, 4))
    )
    assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert_trees_close(smallest, expected, rtol=1e-5, atol=1e-5)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected[1])) > 0.01
    assert_trees_close(actual[0][1].buffers, params["buffers"], rtol=0, atol=0)


@pytest.mark.slow
def test_without_a_derivative_any_batch_gives_its_own_loss():
    for size in (8, 7, 6):
        expected, actual = (
            jax.jit(objective, static_argnums=0)(MODEL, PARAMS, jax.random.key(1), EIGHT[:size])
            for objective in (o.negative_elbo, o.accumulated(o.negative_elbo, 4))
        )
        assert_trees_close(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_a_batch_that_does_not_divide_is_refused_with_both_numbers(jit):
    objective = o.accumulated(o.negative_elbo, 3)
    gradient = jax.grad(lambda params: objective(MODEL, params, jax.random.key(0), EIGHT)[0])
    with pytest.raises(ValueError, match="num_microbatches must divide the batch size, 8, got 3"):
        (jax.jit(gradient) if jit else gradient)(PARAMS)


def test_a_number_of_microbatches_below_1_is_refused():
    with pytest.raises(ValueError, match="num_microbatches must be at least 1, got 0"):
        o.accumulated(o.negative_elbo, 0)


def test_one_microbatch_is_the_objective():
    assert o.accumulated(o.negative_elbo, 1) is o.negative_elbo


def test_no_pass_forward_is_done_twice():
    # Four layers: forward, and to their inputs (but the images) and their kernels on the way back.
    for m in (1, 4):
        step = lambda p, m=m: value_and_gradient(o.accumulated(o.negative_elbo, m), MODEL, p, KEY, EIGHT)
        assert len(products_of(step, PARAMS)) == 4 + 3 + 4
    loss = lambda p: o.accumulated(o.negative_elbo, 4)(MODEL, p, KEY, EIGHT)[0]
    assert len(products_of(loss, PARAMS)) == 4


@pytest.mark.parametrize("num_microbatches", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_the_memory_of_a_large_batch_falls_with_the_number_of_microbatches(num_microbatches):
    model = mlp_vae((8, 8, 1), 4, (256, 256))
    params, xs = jax.eval_shape(model.init, KEY), jax.ShapeDtypeStruct((8192, 8, 8, 1), jnp.float32)

    def megabytes(m):
        gradient = lambda params, xs: value_and_gradient(o.accumulated(o.negative_elbo, m), model, params, KEY, xs)
        return jax.jit(gradient).lower(params, xs).compile(UNRUN).memory_analysis().temp_size_in_bytes / 2**20

    whole, parts = megabytes(1), megabytes(num_microbatches)
    assert whole > 32  # four hidden layers of 8 MiB
    # Beside the activations there are two gradients, one summed and one new, of 0.8 MiB each.
    assert parts < 1.25 * whole / num_microbatches + 4


@pytest.mark.slow
def test_a_prepared_objective_accumulates_to_the_same():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1)).astype(np.uint8)
    noisy = lambda key, batch: batch / np.float32(255) + 0.1 * jax.random.normal(key, batch.shape)
    expected, actual = (
        value_and_gradient(o.on_prepared(objective, noisy), MODEL, PARAMS, jax.random.key(4), pixels)
        for objective in (o.negative_elbo, o.accumulated(o.negative_elbo, 4))
    )
    assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_around_a_prepared_objective_it_is_refused():
    objective = o.accumulated(o.on_prepared(o.negative_elbo, lambda key, batch: batch), 4)
    with pytest.raises(ValueError, match="split accepts a single key"):
        objective(MODEL, PARAMS, KEY, EIGHT)


@pytest.mark.slow
def test_a_scheduled_objective_stays_one_and_trains_the_same_inside_a_scan():
    warm_up = o.kl_warm_up(o.linear(10, 0.0, 2.0))
    states = []
    for objective in (warm_up, o.accumulated(warm_up, 2)):
        assert o.warm_up_steps_of(objective) == 10
        epoch = make_train_epoch(make_train_step(MODEL, objective, optax.sgd(1e-2)), 4)
        state = some_state(MODEL, optax.sgd(1e-2))
        for _ in range(3):
            state, metrics = epoch(state, jax.random.key(5), np.concatenate([EIGHT] * 2))
        states.append((state.params, metrics))
    assert_trees_close(states[1], states[0], rtol=1e-5, atol=1e-5)
    assert np.abs(states[0][0]["decoder"]["output"]["bias"] - PARAMS["decoder"]["output"]["bias"]).max() > 0.01


@pytest.mark.slow
def test_models_with_betas_of_their_own_train_the_same_as_one_program():
    results = []
    for m in (1, 2):
        setup = lambda beta, m=m: (o.accumulated(o.beta(beta), m), optax.adam(1e-3))
        keys = jax.random.split(KEY, 2)
        betas, options = jnp.array([1.0, 4.0]), {"epochs": 2, "batch_size": 4}
        results.append(fit_ensemble(MODEL, setup, betas, EIGHT, EIGHT[:3], keys, **options))
    assert_trees_close(results[1].state.params, results[0].state.params, rtol=1e-4, atol=1e-5)
    losses = [rows[-1]["validation/loss"] for rows in results[1].history]
    np.testing.assert_allclose(losses, [rows[-1]["validation/loss"] for rows in results[0].history], rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_bfloat16_parameters_is_bfloat16_and_trains():
    narrow = MODEL._replace(init=lambda key: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), MODEL.init(key)))
    accumulated = o.accumulated(o.negative_elbo, 4)
    _, plain = value_and_gradient(o.negative_elbo, MODEL, narrow.init(KEY), KEY, EIGHT)
    _, summed = value_and_gradient(accumulated, MODEL, narrow.init(KEY), KEY, EIGHT)
    for leaf, expected in zip(jax.tree.leaves(summed), jax.tree.leaves(plain), strict=True):
        assert leaf.dtype == jnp.bfloat16
        np.testing.assert_allclose(*(np.asarray(a, np.float32) for a in (leaf, expected)), atol=0.05)
    optimizer = optax.adam(0.01)
    epoch = make_train_epoch(make_train_step(narrow, accumulated, optimizer), 8)
    state, metrics = epoch(init_train_state(narrow, optimizer, KEY), KEY, jnp.asarray(EIGHT))
    assert np.isfinite(metrics["loss"])
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.slow
def test_a_number_that_the_objective_was_made_of_has_its_derivative_too():
    def loss(beta, params, m):
        return o.accumulated(o.beta(beta), m)(MODEL, params, KEY, EIGHT)[0]

    for transform in (lambda f: f, jax.jit):  # the derivative of a jitted function: the tracer of beta is gone by then
        gradients = [
            jax.grad(transform(lambda beta, params, m=m: loss(beta, params, m)), argnums=(0, 1))(2.0, PARAMS)
            for m in (1, 4)
        ]
        assert_trees_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-5)
        assert gradients[0][0] > 0.01  # it is the rate
    mapped = [jax.vmap(jax.grad(loss), in_axes=(0, None, None))(jnp.arange(3.0), PARAMS, m) for m in (1, 4)]
    np.testing.assert_allclose(mapped[1], mapped[0], rtol=1e-5)


@pytest.mark.slow
def test_the_derivative_scales_and_that_of_the_batch_is_refused():
    loss = lambda params, batch: -3.0 * o.accumulated(o.negative_elbo, 2)(MODEL, params, KEY, batch)[0]
    _, expected = value_and_gradient(o.negative_elbo, MODEL, PARAMS, KEY, EIGHT)
    assert_trees_close(jax.grad(loss)(PARAMS, EIGHT), jax.tree.map(lambda g: -3.0 * g, expected), atol=1e-5)
    with pytest.raises(ValueError, match="batch: an accumulated objective has no derivative"):
        jax.grad(loss, argnums=1)(PARAMS, EIGHT)


def with_buffers(update):
    def objective(model, params, key, batch):
        loss, aux = o.negative_elbo(model, params, key, batch)
        return loss, aux._replace(buffers=update(params["buffers"], batch))

    return objective


def test_buffers_that_change_are_averaged_over_the_microbatches():
    params = {**PARAMS, "buffers": {"mean": jnp.full((4, 4, 1), 3.0), "still": jnp.array([1, 2])}}
    moving = with_buffers(lambda buffers, xs: {**buffers, "mean": 0.9 * buffers["mean"] + 0.1 * xs.mean(0)})
    _, aux = o.accumulated(moving, 4)(MODEL, params, KEY, EIGHT)
    np.testing.assert_allclose(aux.buffers["mean"], 2.7 + 0.1 * EIGHT.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(aux.buffers["still"], [1, 2])


def test_integer_buffers_that_change_are_refused():
    params = {**PARAMS, "buffers": {"count": jnp.array(0)}}
    counting = with_buffers(lambda buffers, xs: {"count": buffers["count"] + len(xs)})
    with pytest.raises(TypeError, match=re.escape("buffers['count'] changes and is of int32, which has no mean")):
        o.accumulated(counting, 4)(MODEL, params, KEY, EIGHT)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_keys_for_each_example_are_taken_as_they_are(make):
    keys = keys_of_examples(make(0), 4)
    expected = o.negative_elbo(MODEL, PARAMS, make(0), IMAGES)
    assert_trees_close(o.negative_elbo(MODEL, PARAMS, keys, IMAGES), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"one for each of the 3 examples, got keys \(4,\)"):
        o.negative_elbo(MODEL, PARAMS, keys, IMAGES[:3])
