from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import soon_started
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo
from vae_jax.training import Diverged, fit_stream, make_evaluate, make_train_step
from vae_jax.training._plan import split_key
from vae_jax.training._step import init_train_state
from vae_jax.training.checkpoints import OrbaxCheckpoints

MODEL = soon_started(mlp_vae((3, 3, 1), 2, hidden=(6,)))
OPTIMIZER = optax.adam(0.05)
KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).integers(0, 2, (50, 3, 3, 1)).astype(np.float32)
VALIDATION = IMAGES[40:]


class Stream:
    """Stream of batches of 40 images that records the numbers of the batches read."""

    batch_size, steps_per_epoch = 8, 5

    def __init__(self, scale=1.0):
        self.next, self.read, self.scale = 0, [], scale

    def __iter__(self):
        return self

    def __next__(self):
        order = np.random.default_rng(self.next // 5).permutation(40)
        places = order[8 * (self.next % 5) :][:8]
        self.read.append(self.next)
        self.next += 1
        return IMAGES[places] * np.float32(self.scale)

    def seek(self, batch):
        self.next = batch


class Stopped(Exception):
    pass


def train(stream, epochs=4, **options):
    return fit_stream(MODEL, negative_elbo, OPTIMIZER, stream, VALIDATION, KEY, epochs=epochs, **options)


@pytest.mark.slow
def test_it_is_the_steps_on_the_batches_one_by_one_and_validation_after_every_epoch():
    progress = train(Stream(), epochs=2)
    keys, stream = split_key(KEY), Stream()
    step = jax.jit(make_train_step(MODEL, negative_elbo, OPTIMIZER))
    evaluate = make_evaluate(MODEL, negative_elbo, 8)
    state = jax.jit(lambda key: init_train_state(MODEL, OPTIMIZER, key))(keys.init)
    for row in progress.history:
        losses = []
        for _ in range(5):
            state, metrics = step(state, keys.train, jnp.asarray(next(stream)))
            losses.append(metrics["loss"])
        np.testing.assert_allclose(row["train/loss"], np.mean(losses), rtol=1e-5)
        expected = evaluate(state.params, keys.validation, jnp.asarray(VALIDATION))
        np.testing.assert_allclose(row["validation/loss"], expected["loss"], rtol=1e-5)
    chex.assert_trees_all_close(progress.state.params, state.params, rtol=1e-4, atol=1e-6)
    assert [(row["epoch"], row["step"]) for row in progress.history] == [(1, 5), (2, 10)]


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_run_that_was_stopped_goes_on_with_the_batches_that_would_have_come_to_the_same_bits(tmp_path, stop_after):
    whole = train(Stream())

    def stop(history):
        if len(history) == stop_after:
            raise Stopped

    checkpoints = lambda: OrbaxCheckpoints(tmp_path / "c", KEY, {}, every_seconds=0.0)
    with pytest.raises(Stopped):
        train(Stream(), checkpoints=checkpoints(), on_epoch=stop)
    stream = Stream()
    resumed = train(stream, checkpoints=checkpoints())
    assert stream.read == list(range(5 * stop_after, 20))
    assert resumed.history == whole.history
    chex.assert_trees_all_equal(resumed.state, whole.state)
    chex.assert_trees_all_equal(resumed.best_params, whole.best_params)


@pytest.mark.slow
def test_patience_ends_it_without_reading_on_and_keeps_the_best():
    stream, started = Stream(), []
    # The rate is far too high to improve for long.
    progress = fit_stream(
        MODEL, negative_elbo, optax.adam(0.3), stream, VALIDATION, KEY, epochs=40, patience=2,
        on_start=lambda: started.append(len(stream.read)),
    )  # fmt: skip
    epochs = len(progress.history)
    assert epochs == progress.best_epoch + 2 < 40
    assert len(stream.read) == 5 * epochs
    assert started == [5]  # once: an epoch of five steps is one chunk
    losses = [row["validation/loss"] for row in progress.history]
    assert losses[progress.best_epoch - 1] == min(losses)
    best = make_evaluate(MODEL, negative_elbo, 8)(
        progress.best_params, split_key(KEY).validation, jnp.asarray(VALIDATION)
    )
    np.testing.assert_allclose(best["loss"], min(losses), rtol=1e-5)


def test_a_stream_that_diverges_says_at_which_step_and_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"the next chunk of the stream holds \d+ values that are not finite \(first"):
        train(Stream(scale=np.nan))
    saved = []
    checkpoints = SimpleNamespace(restore=lambda like: None, due=lambda: False, save=saved.append)
    message = r"diverged in epoch 1 at step 2 \(step 2 of 5\): the .* is not finite .* at position \d of the batch; the"
    with pytest.raises(Diverged, match=message):
        fit_stream(MODEL, negative_elbo, optax.sgd(1e30), Stream(), VALIDATION, KEY, epochs=4, checkpoints=checkpoints)
    assert int(saved[0].state.step) == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved[0].state.params))
    stream = Stream()
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        train(stream, epochs=0)
    with pytest.raises(ValueError, match="patience must be at least 1, got 0"):
        train(stream, patience=0)
    assert stream.read == []
