"""Gradient accumulation over microbatches: the results of the large batch, in the memory of a small one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contract.checks import assert_trees_close
from contract.objectives_table import OBJECTIVES
from fresh import some_params, some_state, soon_started
from networks.programs import UNRUN, products_of
from vae_jax import objectives as o
from vae_jax.models import mlp_vae
from vae_jax.objectives._batch import keys_of_examples
from vae_jax.params import join_buffers, split_buffers
from vae_jax.training import TrainState, fit, fit_ensemble, init_train_state, make_train_epoch, make_train_step
from vae_jax.training._step import differentiated

MEANS = {name: row for name, row in OBJECTIVES.items() if o.is_mean_over_examples(row.objective)}
MODEL = soon_started(mlp_vae((4, 4, 1), 2, (8,)))
KEY = jax.random.key(0)
PARAMS = some_params(MODEL)
EIGHT = (np.random.default_rng(2).random((8, 4, 4, 1)) < 0.5).astype(np.float32)


def value_and_gradient(objective, microbatches, model=MODEL, params=PARAMS, batch=EIGHT, key=KEY):
    return differentiated(model, objective, TrainState(jnp.int32(0), params, ()), key, batch, microbatches)


def test_an_objective_says_that_it_is_a_mean_over_examples_or_needs_its_batch():
    for name, row in OBJECTIVES.items():
        if row.needs_batch:
            assert name not in MEANS, name
    assert {"negative_elbo", "negative_iwae(5)", "scheduled(beta_vae_loss)"} <= MEANS.keys()
    prepared = o.with_preprocessing(
        o.with_preprocessing(o.scheduled(o.beta_vae_loss, o.linear(10)), lambda key, x: x), lambda key, x: x
    )
    assert o.is_mean_over_examples(prepared)
    assert not o.is_mean_over_examples(lambda model, params, key, batch: o.negative_elbo(model, params, key, batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", MEANS)
def test_loss_metrics_buffers_and_gradient_are_those_of_the_whole_batch(name):
    model, params, batch = MEANS[name].problem
    params = join_buffers(split_buffers(params)[0], {**params.get("buffers", {}), "count": jnp.arange(3)})
    compute = jax.jit(lambda params, batch, m: value_and_gradient(MEANS[name].objective, m, model, params, batch),
                      static_argnums=2)  # fmt: skip
    expected, actual, smallest = (compute(params, batch, m) for m in (1, 2, 4))
    assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert_trees_close(smallest, expected, rtol=1e-5, atol=1e-5)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected[1])) > 0.01
    assert_trees_close(actual[0][1].buffers, params["buffers"], rtol=0, atol=0)


def test_a_step_on_dicts_is_that_of_the_whole_batch_to_rounding():
    @o.mean_over_batch
    def objective(model, params, key, x):
        noise = jax.random.normal(key)
        loss = jnp.square(params["w"] @ x["marks"] - x["age"] - noise)
        return loss, {"noise": noise}

    model = MODEL._replace(init=lambda key: {"w": jnp.ones(3)})
    rng = np.random.default_rng(0)
    batch = {"marks": jnp.asarray(rng.normal(size=(12, 3)), jnp.float32), "age": jnp.arange(12.0)}
    whole, parts = (
        jax.jit(make_train_step(model, objective, optax.sgd(0.1), m))(some_state(model, optax.sgd(0.1)), KEY, batch)
        for m in (1, 3)
    )
    assert_trees_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert abs(float(whole[1]["noise"])) > 0.01


@pytest.mark.parametrize("jit", [False, True])
def test_a_batch_that_does_not_divide_is_refused_with_both_numbers(jit):
    step = make_train_step(MODEL, o.negative_elbo, optax.sgd(1.0), 3)
    message = "microbatches must divide the batch size, 8, got 3"
    with pytest.raises(ValueError, match=message):
        (jax.jit(step) if jit else step)(some_state(MODEL, optax.sgd(1.0)), KEY, EIGHT)
    with pytest.raises(ValueError, match=message):
        fit(MODEL, o.negative_elbo, optax.sgd(1.0), EIGHT, EIGHT, KEY, epochs=1, batch_size=8, microbatches=3)


def test_a_number_below_1_and_an_objective_that_needs_its_batch_are_refused():
    with pytest.raises(ValueError, match="microbatches must be at least 1, got 0"):
        make_train_step(MODEL, o.negative_elbo, optax.sgd(1.0), 0)
    whole = lambda model, params, key, batch: o.negative_elbo(model, params, key, batch)
    for objective in (o.free_bits_loss(0.1), o.vq_vae_loss, o.with_preprocessing(whole, lambda key, x: x)):
        make_train_step(MODEL, objective, optax.sgd(1.0))
        with pytest.raises(ValueError, match="microbatches must be 1 for an objective that needs its whole batch"):
            make_train_step(MODEL, objective, optax.sgd(1.0), 2)


def test_no_pass_forward_is_done_twice():
    # Four layers: forward, and to their inputs (but the images) and their kernels on the way back.
    for m in (1, 4):
        assert len(products_of(lambda p, m=m: value_and_gradient(o.negative_elbo, m, params=p), PARAMS)) == 4 + 3 + 4


@pytest.mark.slow
@pytest.mark.parametrize("microbatches", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_the_memory_of_a_large_batch_falls_with_the_number_of_microbatches(microbatches):
    model = mlp_vae((8, 8, 1), 4, (256, 256))
    params, xs = jax.eval_shape(model.init, KEY), jax.ShapeDtypeStruct((8192, 8, 8, 1), jnp.float32)

    def megabytes(m):
        gradient = lambda params, xs: value_and_gradient(o.negative_elbo, m, model, params, xs)
        return jax.jit(gradient).lower(params, xs).compile(UNRUN).memory_analysis().temp_size_in_bytes / 2**20

    whole, parts = megabytes(1), megabytes(microbatches)
    assert whole > 32  # four hidden layers of 8 MiB
    # Beside the activations there are two gradients, one summed and one new, of 0.8 MiB each.
    assert parts < 1.25 * whole / microbatches + 4


@pytest.mark.slow
def test_the_batch_is_prepared_as_a_whole():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1)).astype(np.uint8)
    noisy = lambda key, batch: batch / np.float32(255) + 0.1 * jax.random.normal(key, batch.shape)
    objective = o.with_preprocessing(o.negative_elbo, noisy)
    expected, actual = (value_and_gradient(objective, m, batch=pixels) for m in (1, 4))
    assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_scheduled_objective_trains_the_same_inside_a_scan():
    warm_up = o.scheduled(o.beta_vae_loss, o.linear(10, 0.0, 2.0))
    states = []
    for m in (1, 2):
        epoch = make_train_epoch(make_train_step(MODEL, warm_up, optax.sgd(1e-2), m), 4)
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
        setup = lambda beta: (o.beta_vae_loss(beta), optax.adam(1e-3))
        keys = jax.random.split(KEY, 2)
        betas, options = jnp.array([1.0, 4.0]), {"epochs": 2, "batch_size": 4, "microbatches": m}
        results.append(fit_ensemble(MODEL, setup, betas, EIGHT, EIGHT[:3], keys, **options))
    assert_trees_close(results[1].state.params, results[0].state.params, rtol=1e-4, atol=1e-5)
    losses = [rows[-1]["validation/loss"] for rows in results[1].history]
    np.testing.assert_allclose(losses, [rows[-1]["validation/loss"] for rows in results[0].history], rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_bfloat16_parameters_is_bfloat16_and_trains():
    narrow = MODEL._replace(init=lambda key: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), MODEL.init(key)))
    (_, plain), (_, summed) = (value_and_gradient(o.negative_elbo, m, narrow, narrow.init(KEY)) for m in (1, 4))
    for leaf, expected in zip(jax.tree.leaves(summed), jax.tree.leaves(plain), strict=True):
        assert leaf.dtype == jnp.bfloat16
        np.testing.assert_allclose(*(np.asarray(a, np.float32) for a in (leaf, expected)), atol=0.05)
    optimizer = optax.adam(0.01)
    epoch = make_train_epoch(make_train_step(narrow, o.negative_elbo, optimizer, 4), 8)
    state, metrics = epoch(init_train_state(narrow, optimizer, KEY), KEY, jnp.asarray(EIGHT))
    assert np.isfinite(metrics["loss"])
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.slow
def test_a_number_that_the_objective_was_made_of_has_its_derivative_too():
    def loss(beta, params, m):
        return value_and_gradient(o.beta_vae_loss(beta), m, params=params)[0][0]

    for transform in (lambda f: f, jax.jit):
        gradients = [
            jax.grad(transform(lambda beta, params, m=m: loss(beta, params, m)), argnums=(0, 1))(2.0, PARAMS)
            for m in (1, 4)
        ]
        assert_trees_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-5)
        assert gradients[0][0] > 0.01  # it is the rate
    mapped = [jax.vmap(loss, in_axes=(0, None, None))(jnp.arange(3.0), PARAMS, m) for m in (1, 4)]
    np.testing.assert_allclose(mapped[1], mapped[0], rtol=1e-5)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_keys_for_each_example_are_taken_as_they_are(make):
    keys = keys_of_examples(make(0), 8)
    expected = o.negative_elbo(MODEL, PARAMS, make(0), EIGHT)
    assert_trees_close(o.negative_elbo(MODEL, PARAMS, keys, EIGHT), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"one for each of the 3 examples, got keys of shape \(8,\)"):
        o.negative_elbo(MODEL, PARAMS, keys, EIGHT[:3])
