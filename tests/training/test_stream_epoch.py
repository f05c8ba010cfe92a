from itertools import count

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import soon_started
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import Progress, init_train_state, make_train_step, make_train_stream_epoch
from vae_jax.training.checkpoints import OrbaxCheckpoints

STEPS, BATCH_SIZE = 7, 6
MODEL = soon_started(mlp_vae((3, 3, 1), 2, hidden=(6,)))
OPTIMIZER = optax.adam(0.01)
STEP = make_train_step(MODEL, negative_elbo, OPTIMIZER)
KEY = jax.random.key(3)


def batch(number):
    return np.random.default_rng(number).integers(0, 2, (BATCH_SIZE, 3, 3, 1)).astype(np.float32)


def batches(first=0):
    return map(batch, count(first))


def fresh_state():
    return jax.jit(lambda key: init_train_state(MODEL, OPTIMIZER, key))(jax.random.key(0))


def resident(num_epochs):
    """State and mean metrics of each epoch on the same batches kept on the device, an epoch as one scanned program."""

    @jax.jit
    def epoch(state, data):
        return jax.lax.scan(lambda state, x: STEP(state, KEY, x), state, data)

    state, means = fresh_state(), []
    for number in range(num_epochs):
        state, metrics = epoch(state, np.stack([batch(number * STEPS + step) for step in range(STEPS)]))
        means.append(jax.tree.map(lambda m: float(np.mean(np.asarray(m, np.float64))), metrics))
    return state, means


@pytest.mark.slow
@pytest.mark.parametrize("chunk_steps", [1, 3, 7, 100])
def test_training_on_a_stream_is_training_on_the_same_batches_resident_to_the_bit(chunk_steps):
    epoch = make_train_stream_epoch(STEP, STEPS, chunk_steps=chunk_steps)
    state, stream, means = fresh_state(), batches(), []
    for _ in range(2):
        state, metrics = epoch(state, KEY, stream)
        means.append(metrics)
    expected_state, expected_means = resident(2)
    chex.assert_trees_all_equal(state, expected_state)
    chex.assert_trees_all_close(means, expected_means, rtol=1e-6)
    assert abs(means[0]["loss"] - means[1]["loss"]) > 0.01


def test_an_epoch_takes_its_own_batches_and_no_more():
    stream = batches()
    state, _ = make_train_stream_epoch(STEP, STEPS, chunk_steps=3)(fresh_state(), KEY, stream)
    np.testing.assert_array_equal(next(stream), batch(STEPS))
    assert int(state.step) == STEPS


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_from_its_checkpoint_at_the_step_number_in_the_same_bits(tmp_path):
    epoch = make_train_stream_epoch(STEP, STEPS, chunk_steps=2)
    state, _ = epoch(fresh_state(), KEY, stream := batches())
    checkpoints = OrbaxCheckpoints(tmp_path / "c", KEY, {}, every_seconds=0.0)
    checkpoints.save(Progress(state, state.params, ({"epoch": 1, "validation/loss": 0.0},)))
    killed, _ = epoch(state, KEY, stream)

    like = Progress(fresh_state(), fresh_state().params, ())
    restored = OrbaxCheckpoints(tmp_path / "c", KEY, {}).restore(like)
    resumed, _ = epoch(restored.state, KEY, batches(int(restored.state.step)))
    chex.assert_trees_all_equal(resumed, killed)
    chex.assert_trees_all_equal(resumed, resident(2)[0])


def test_each_chunk_is_on_its_way_before_the_host_waits_for_the_one_before_and_none_further_ahead(monkeypatch):
    events = []
    device_get = jax.device_get

    def step(state, key, x):
        return state._replace(step=state.step + 1), {"loss": jnp.mean(x), "chunk": state.step // 2}

    def put(chunk):
        events.append(f"put {sum(event.startswith('put') for event in events)}")
        return jax.device_put(chunk)

    def waiting(metrics):
        events.append(f"wait {int(metrics['chunk']) // 2}")
        return device_get(metrics)

    monkeypatch.setattr(jax, "device_get", waiting)
    make_train_stream_epoch(step, 8, chunk_steps=2, put=put)(fresh_state(), KEY, batches())
    assert events == ["put 0", "put 1", "wait 0", "put 2", "wait 1", "put 3", "wait 2", "wait 3"]


def test_chunks_are_compiled_once_and_the_remainder_once_and_the_state_is_donated():
    chex.clear_trace_counter()
    epoch = make_train_stream_epoch(chex.assert_max_traces(STEP, n=2), STEPS, chunk_steps=3)
    before = state = fresh_state()
    for _ in range(3):
        state, _ = epoch(state, KEY, batches(int(state.step)))
    assert before.step.is_deleted()


@pytest.mark.slow
def test_batches_go_to_the_device_by_the_callers_own_way():
    shapes = []

    def put(chunk):
        shapes.append(chunk.shape)
        return jax.device_put(1 - chunk)

    epoch = make_train_stream_epoch(STEP, STEPS, chunk_steps=4, put=put)
    state, _ = epoch(fresh_state(), KEY, batches())
    assert shapes == [(4, BATCH_SIZE, 3, 3, 1), (3, BATCH_SIZE, 3, 3, 1)]
    direct = make_train_stream_epoch(STEP, STEPS, chunk_steps=4)
    expected, _ = direct(fresh_state(), KEY, (1 - x for x in batches()))
    chex.assert_trees_all_equal(state, expected)


def test_a_stream_that_ends_or_fails_within_an_epoch_says_so():
    epoch = make_train_stream_epoch(STEP, STEPS, chunk_steps=3)
    with pytest.raises(RuntimeError, match="ended within an epoch; 2 more were needed"):
        epoch(fresh_state(), KEY, map(batch, range(4)))

    def failing():
        yield batch(0)
        raise ValueError("image 9 cannot be decoded")

    with pytest.raises(ValueError, match="image 9 cannot be decoded"):
        epoch(fresh_state(), KEY, failing())


@pytest.mark.parametrize(("steps", "chunk_steps"), [(0, 4), (4, 0)])
def test_no_steps_are_refused(steps, chunk_steps):
    name = "chunk_steps" if steps else "steps_per_epoch"
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        make_train_stream_epoch(STEP, steps, chunk_steps=chunk_steps)
