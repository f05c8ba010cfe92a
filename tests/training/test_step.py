import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from fresh import some_state, soon_started
from vae_jax.models import VAE, gaussian_vae, mlp_vae
from vae_jax.networks import from_nnx
from vae_jax.objectives import Aux, beta_vae_loss, linear, negative_elbo, scheduled
from vae_jax.training import TrainState, init_train_state, make_train_epoch, make_train_step

BATCH = jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, 2, 2, 1)), jnp.float32)
MODEL = soon_started(mlp_vae((2, 2, 1), 2, hidden=(5,)))


def nothing(*_):
    raise AssertionError("the toy objectives use no distribution")


# Two trained weights, and buffers that the loss depends on as strongly as on them.
WITH_BUFFERS = VAE(
    lambda key: {"w": jnp.array([3.0, -2.0]), "buffers": {"scale": jnp.array([100.0, 50.0]), "count": jnp.array(7)}},
    nothing,
    nothing,
    nothing,
)


def scaled_sum(model, params, key, batch):
    """Loss sum(w * scale), with new buffers that are doubled and counted."""
    buffers = params["buffers"]
    updated = {"scale": 2 * buffers["scale"], "count": buffers["count"] + 1}
    return jnp.sum(params["w"] * buffers["scale"]), Aux({"count": buffers["count"]}, updated)


@pytest.mark.slow
def test_a_step_of_gradient_descent_is_params_minus_rate_times_the_gradient_at_the_steps_own_key():
    key = jax.random.key(1)
    state = some_state(MODEL, optax.sgd(0.1))._replace(step=jnp.int32(5))
    after, metrics = jax.jit(make_train_step(MODEL, negative_elbo, optax.sgd(0.1)))(state, key, BATCH)

    def loss(params):
        return negative_elbo(MODEL, params, jax.random.fold_in(key, 5), BATCH)[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradient)
    chex.assert_trees_all_close(after.params, expected, rtol=1e-5, atol=1e-7)
    assert max(jnp.abs(g).max() for g in jax.tree.leaves(gradient)) > 0.1
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-6)
    np.testing.assert_allclose(metrics["rate"] + metrics["distortion"], value, rtol=1e-5)
    assert int(after.step) == 6


def test_another_step_number_draws_other_noise():
    step = jax.jit(make_train_step(MODEL, negative_elbo, optax.sgd(0.1)))
    state = some_state(MODEL, optax.sgd(0.1))
    losses = [step(state._replace(step=jnp.int32(i)), jax.random.key(1), BATCH)[1]["distortion"] for i in (0, 1, 0)]
    assert losses[0] == losses[2]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_fresh_state_is_the_models_init_at_step_0():
    key = jax.random.key(4)
    state, params = jax.jit(lambda: (init_train_state(MODEL, optax.adam(0.1), key), MODEL.init(key)))()
    chex.assert_trees_all_equal(state.params, params)
    assert int(state.step) == 0
    chex.assert_trees_all_equal(state.opt_state, optax.adam(0.1).init(state.params))


def test_buffers_take_what_the_objective_returns_and_the_optimizer_never_sees_them():
    optimizer = optax.adamw(0.01, weight_decay=50.0)
    state = init_train_state(WITH_BUFFERS, optimizer, jax.random.key(0))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state.opt_state)]
    assert any("'w'" in path for path in paths)
    assert not any("buffers" in path or "scale" in path for path in paths)
    step = jax.jit(make_train_step(WITH_BUFFERS, scaled_sum, optimizer))
    for i in range(1, 4):
        state, metrics = step(state, jax.random.key(0), BATCH)
        np.testing.assert_array_equal(state.params["buffers"]["scale"], [100.0 * 2**i, 50.0 * 2**i])
        assert int(state.params["buffers"]["count"]) == 7 + i
        assert int(metrics["count"]) == 6 + i  # metrics are of the buffers before the step
    # By hand: gradients of one sign make Adam's direction 1, then lr (1 + decay w) is taken off, three times.
    w = np.array([3.0, -2.0])
    for _ in range(3):
        w -= 0.01 * (1.0 + 50.0 * w)
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-2)


def test_clipping_measures_the_norm_of_the_trained_gradient_alone():
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    state = init_train_state(WITH_BUFFERS, optimizer, jax.random.key(0))
    after, _ = make_train_step(WITH_BUFFERS, scaled_sum, optimizer)(state, jax.random.key(0), BATCH)
    gradient = np.array([100.0, 50.0])  # the buffers' own would be w = (3, -2)
    np.testing.assert_allclose(
        after.params["w"], np.array([3.0, -2.0]) - gradient / np.linalg.norm(gradient), rtol=1e-5
    )


def test_the_jitted_step_is_traced_once():
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(make_train_step(MODEL, negative_elbo, optax.adam(0.1)), n=1))
    state = some_state(MODEL, optax.adam(0.1))
    for i in range(4):
        state, _ = step(state, jax.random.key(i), BATCH)
    assert int(state.step) == 4
    with pytest.raises(AssertionError, match="traced > 1 times"):
        step(state, jax.random.key(0), BATCH[:3])


def test_a_scheduled_objective_is_taken_at_the_states_own_step_in_one_trace():
    chex.clear_trace_counter()
    optimizer, key = optax.sgd(0.1), jax.random.key(1)
    state = some_state(MODEL, optimizer)
    step = jax.jit(chex.assert_max_traces(make_train_step(MODEL, scheduled(beta_vae_loss, linear(4)), optimizer), n=1))

    @jax.jit
    def step_of_beta(state, weight):
        return make_train_step(MODEL, beta_vae_loss(weight), optimizer)(state, key, BATCH)

    for number, weight in ((0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (900, 1.0)):
        at = state._replace(step=jnp.int32(number))
        after, metrics = step(at, key, BATCH)
        expected, expected_metrics = step_of_beta(at, jnp.asarray(weight))
        chex.assert_trees_all_close(after, expected, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(metrics, expected_metrics, rtol=1e-5)
        np.testing.assert_allclose(metrics["loss"], metrics["distortion"] + weight * metrics["rate"], rtol=1e-5)


@pytest.mark.slow
def test_the_step_is_the_same_with_and_without_jit_and_leaves_its_argument_alone():
    step = make_train_step(MODEL, negative_elbo, optax.adam(0.1))
    state = some_state(MODEL, optax.adam(0.1))
    before = jax.tree.map(np.array, state)
    plain, jitted = step(state, jax.random.key(1), BATCH), jax.jit(step)(state, jax.random.key(1), BATCH)
    # Adam's first update is lr times the sign of the gradient: where that is near 0, rounding decides it.
    chex.assert_trees_all_close(plain[1], jitted[1], rtol=1e-5)
    chex.assert_trees_all_close(plain[0].opt_state, jitted[0].opt_state, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_equal(jax.tree.map(np.array, state), before)
    assert isinstance(jitted[0], TrainState)


class NnxPerceptron(nnx.Module):
    def __init__(self, num_inputs, outputs, rngs):
        self.outputs = outputs
        self.hidden = nnx.Linear(num_inputs, 16, rngs=rngs)
        self.output = nnx.Linear(16, int(np.prod(outputs)), rngs=rngs)

    def __call__(self, x):
        return self.output(jnp.tanh(self.hidden(x.ravel()))).reshape(self.outputs)


@pytest.mark.slow
def test_an_nnx_network_trains_through_the_same_step():
    encoder = from_nnx(lambda rngs: NnxPerceptron(16, (4,), rngs))
    decoder = from_nnx(lambda rngs: NnxPerceptron(2, (4, 4, 1, 1), rngs))
    model = gaussian_vae(encoder, decoder, 2)
    # Two equally likely patterns of 16 bits: ln 2 = 0.69 nats at best, 16 ln 2 = 11.1 for a decoder that ignores z.
    pattern = np.random.default_rng(0).integers(0, 2, (1, 4, 4, 1))
    batch = jnp.asarray(np.concatenate([pattern, 1 - pattern] * 8), jnp.float32)
    step = jax.jit(make_train_step(model, negative_elbo, optax.adam(0.02)))
    state = jax.jit(lambda key: init_train_state(model, optax.adam(0.02), key))(jax.random.key(0))
    losses = []
    for _ in range(150):
        state, metrics = step(state, jax.random.key(1), batch)
        losses.append(float(metrics["loss"]))
    assert losses[0] > 10.0
    assert np.log(2.0) < np.mean(losses[-10:]) < 4.0


@pytest.mark.slow
def test_a_model_trains_again_where_its_parameters_began_at_an_array_of_its_own():
    # The whole state is donated to an epoch: an output bias that the model keeps must not be donated with it.
    model = mlp_vae((2, 2, 1), 2, hidden=(5,), data_mean=jnp.full((2, 2, 1), 0.3))
    optimizer = optax.adam(1e-2)
    epoch = make_train_epoch(make_train_step(model, negative_elbo, optimizer), 3)
    ends = [epoch(init_train_state(model, optimizer, jax.random.key(0)), jax.random.key(1), BATCH)[0] for _ in range(2)]
    chex.assert_trees_all_equal(*ends)
