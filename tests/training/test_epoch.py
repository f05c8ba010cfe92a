import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.models import VAE
from vae_jax.objectives import Aux
from vae_jax.training import init_train_state, make_evaluate, make_train_epoch, make_train_step
from vae_jax.training._epoch import steps_per_epoch

NUM_EXAMPLES, BATCH_SIZE = 22, 5
NUM_STEPS = 4  # and two examples left out of each epoch
EXAMPLES = jnp.arange(float(NUM_EXAMPLES))  # each example is its own number


def no_distribution(*_):
    raise AssertionError("the toy objectives use no distribution")


def recorder():
    """Model of one weight whose buffers record the examples of each step."""
    seen = {"seen": jnp.full((NUM_STEPS, BATCH_SIZE), -1.0, jnp.float32), "row": jnp.zeros((), jnp.int32)}
    return VAE(
        lambda key: {"w": jnp.array(0.5, jnp.float32), "buffers": seen},
        no_distribution,
        no_distribution,
        no_distribution,
    )


def noisy_fit(model, params, key, batch):
    """Objective that fits one weight to noisy examples, so that the weight depends on both order and keys."""
    buffers = params["buffers"]
    seen = {"seen": buffers["seen"].at[buffers["row"] % NUM_STEPS].set(batch), "row": buffers["row"] + 1}
    noise = jax.random.normal(key, batch.shape)
    loss = jnp.mean(jnp.square(params["w"] - batch + noise))
    return loss, Aux({"noise": jnp.mean(noise)}, seen)


STEP = make_train_step(recorder(), noisy_fit, optax.adam(0.1))
TRAIN_EPOCH = make_train_epoch(STEP, BATCH_SIZE)


def fresh_state():
    return init_train_state(recorder(), optax.adam(0.1), jax.random.key(0))


def run_epochs(count, key):
    """Order of the examples in each epoch, and state and metrics after the last epoch."""
    state, orders, metrics = fresh_state(), [], {}
    for _ in range(count):
        state, metrics = TRAIN_EPOCH(state, key, EXAMPLES)
        orders.append(np.asarray(state.params["buffers"]["seen"]).astype(int))
    return orders, state, metrics


def test_an_epoch_visits_every_example_at_most_once_and_only_the_remainder_not_at_all():
    orders, state, _ = run_epochs(3, jax.random.key(1))
    for order in orders:
        visited = order.ravel().tolist()
        assert len(set(visited)) == NUM_STEPS * BATCH_SIZE == 20
        assert set(visited) <= set(range(NUM_EXAMPLES))
    assert int(state.step) == 3 * NUM_STEPS


def test_each_epoch_has_an_order_and_a_remainder_of_its_own():
    orders, _, _ = run_epochs(6, jax.random.key(1))
    assert len({tuple(order.ravel()) for order in orders}) == 6
    left_out = [frozenset(range(NUM_EXAMPLES)) - set(order.ravel().tolist()) for order in orders]
    assert len(set(left_out)) > 1
    assert set.union(*(set(order.ravel().tolist()) for order in orders)) == set(range(NUM_EXAMPLES))


def test_the_same_key_gives_the_same_bits_and_another_key_another_order():
    first, second, other = (run_epochs(2, jax.random.key(seed)) for seed in (1, 1, 2))
    chex.assert_trees_all_equal(first, second)
    assert not np.array_equal(first[0][0], other[0][0])


def test_the_scanned_epoch_is_the_step_taken_by_hand():
    key = jax.random.key(1)
    orders, scanned, epoch_metrics = run_epochs(1, key)
    state, losses = fresh_state(), []
    step = jax.jit(STEP)
    for indices in orders[0]:
        state, metrics = step(state, key, EXAMPLES[indices])
        losses.append(metrics["loss"])
    chex.assert_trees_all_close(scanned, state, rtol=1e-6)
    np.testing.assert_allclose(epoch_metrics["loss"], np.mean(losses), rtol=1e-6)
    assert abs(float(scanned.params["w"]) - 0.5) > 0.3  # four steps of Adam at 0.1


def test_the_order_follows_from_the_step_number_alone_so_a_restored_run_goes_on_with_it():
    key = jax.random.key(1)
    orders, _, _ = run_epochs(3, key)
    restored, _ = TRAIN_EPOCH(fresh_state()._replace(step=jnp.int32(2 * NUM_STEPS)), key, EXAMPLES)
    np.testing.assert_array_equal(restored.params["buffers"]["seen"], orders[2])


def test_the_epoch_is_compiled_once_and_donates_its_state():
    chex.clear_trace_counter()
    train_epoch = make_train_epoch(chex.assert_max_traces(STEP, n=1), BATCH_SIZE)
    before = state = fresh_state()
    for _ in range(3):
        state, _ = train_epoch(state, jax.random.key(0), EXAMPLES)
    assert int(state.step) == 12
    assert before.params["w"].is_deleted()


@pytest.mark.parametrize("batch_size", [0, -1, NUM_EXAMPLES + 1])
def test_a_batch_size_that_gives_no_step_is_refused(batch_size):
    message = f"batch_size must be between 1 and the 22 training examples, got {batch_size}"
    with pytest.raises(ValueError, match=message):
        make_train_epoch(STEP, batch_size)(fresh_state(), jax.random.key(0), EXAMPLES)
    with pytest.raises(ValueError, match=message):
        steps_per_epoch(NUM_EXAMPLES, batch_size)


def test_steps_per_epoch_counts_the_full_batches():
    assert [steps_per_epoch(22, size) for size in (1, 5, 11, 12, 22)] == [22, 4, 2, 1, 1]


def mean_square(model, params, key, batch):
    return jnp.mean(batch**2), Aux({"mean": jnp.mean(params["w"] * batch), "noise": jax.random.normal(key)}, None)


@pytest.mark.parametrize("batch_size", [1, 5, 11, 22, 100])
def test_evaluation_is_the_mean_over_all_the_examples_the_remainder_included(batch_size):
    evaluate = make_evaluate(recorder(), mean_square, batch_size)
    metrics = evaluate({"w": 2.0}, jax.random.key(0), EXAMPLES)
    np.testing.assert_allclose(metrics["loss"], np.mean(np.arange(22.0) ** 2), rtol=1e-6)
    np.testing.assert_allclose(metrics["mean"], 2.0 * np.mean(np.arange(22.0)), rtol=1e-6)


def test_evaluation_gives_each_batch_noise_of_its_own():
    # Five batches of one draw each, weighed 5, 5, 5, 5, 2: one shared draw would have variance 1, the mean has 0.215.
    evaluate = make_evaluate(recorder(), mean_square, 5)
    draws = [float(evaluate({"w": 2.0}, jax.random.key(seed), EXAMPLES)["noise"]) for seed in range(100)]
    np.testing.assert_allclose(np.var(draws), (4 * 5**2 + 2**2) / 22**2, rtol=0.45)  # 3 standard errors of 14%
    again = evaluate({"w": 2.0}, jax.random.key(0), EXAMPLES)
    assert draws[0] == float(again["noise"])


@pytest.mark.parametrize("batch_size", [0, -3])
def test_evaluation_in_batches_of_nothing_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        make_evaluate(recorder(), mean_square, batch_size)
