"""Pytrees, generated examples and contexts through the epoch, `fit`, ensembles and evaluation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.models import VAE
from vae_jax.objectives import Aux
from vae_jax.training import (
    Examples,
    drawn,
    fit,
    fit_ensemble,
    fit_stream,
    grouped,
    init_train_state,
    make_evaluate,
    make_train_epoch,
    make_train_step,
    permuted,
    rows,
)

KEY = jax.random.key(1)
N, BATCH_SIZE, STEPS = 22, 5, 4
TABLE = {"age": jnp.arange(float(N)), "marks": {"math": jnp.arange(2.0 * N).reshape(N, 2)}}


def recorder(num_steps=STEPS, size=BATCH_SIZE):
    """Model whose buffers record the ages of each step's examples."""
    seen = {"seen": jnp.full((num_steps, size), -1.0), "row": jnp.zeros((), jnp.int32)}
    return VAE(lambda key: {"w": jnp.float32(0.5), "buffers": seen}, None, None, None)


def objective(model, params, key, batch):
    buffers = params["buffers"]
    if batch["age"].shape == buffers["seen"].shape[1:]:
        seen = buffers["seen"].at[buffers["row"] % len(buffers["seen"])].set(batch["age"])
        buffers = {"seen": seen, "row": buffers["row"] + 1}
    noise = jax.random.normal(key, batch["age"].shape)
    # The leaves of one example stay together.
    apart = jnp.max(jnp.abs(batch["marks"]["math"][:, 1] - batch["marks"]["math"][:, 0] - 1.0))
    loss = jnp.mean(jnp.square(params["w"] + noise - batch["age"] / N)) + apart
    return loss, Aux({"age": jnp.mean(batch["age"])}, buffers)


STEP = make_train_step(recorder(), objective, optax.sgd(0.1))


def state_of(model=None):
    return init_train_state(model or recorder(), optax.sgd(0.1), KEY)


def drawing(data, key, indices):
    """Rows with an age that is drawn at every step."""
    batch = rows(data, key, indices)
    return {**batch, "age": batch["age"] + jax.random.uniform(key, indices.shape)}


def test_an_epoch_takes_the_leaves_of_an_example_together_in_the_order_of_permuted():
    state, metrics = make_train_epoch(STEP, BATCH_SIZE)(state_of(), KEY, TABLE)
    order = permuted(KEY, 0, STEPS, N, BATCH_SIZE)
    np.testing.assert_array_equal(state.params["buffers"]["seen"], order)
    assert metrics["loss"] < 3.0  # no leaf of another example
    wrapped, _ = make_train_epoch(STEP, BATCH_SIZE)(state_of(), KEY, Examples(TABLE, N))
    chex.assert_trees_all_equal(state, wrapped)


@pytest.mark.slow
def test_drawn_examples_come_with_replacement_for_as_many_steps_as_are_asked_for():
    step = make_train_step(recorder(300), objective, optax.sgd(0.1))
    epoch = make_train_epoch(step, BATCH_SIZE, num_steps=300)
    seen = epoch(state_of(recorder(300)), KEY, Examples(TABLE, N, order=drawn))[0].params["buffers"]["seen"]
    counts = np.bincount(np.asarray(seen, int).ravel(), minlength=N)
    assert counts.sum() == 1500
    chi_square = np.sum((counts - 1500 / N) ** 2) / (1500 / N)
    assert chi_square < 21 + 5 * np.sqrt(2 * 21)  # 21 degrees of freedom; five standard deviations
    # The examples of a step depend on its number alone, not on the first step of an epoch.
    np.testing.assert_array_equal(drawn(KEY, 7, 3, N, BATCH_SIZE), drawn(KEY, 0, 10, N, BATCH_SIZE)[7:])
    assert drawn(KEY, 0, 2, 3, 8).max() < 3  # more than there are: with replacement


def test_batches_of_groups_hold_a_fixed_number_of_each_and_pass_through_each_without_replacement():
    order = grouped((4, N - 4), (2, 3))
    state, _ = make_train_epoch(STEP, BATCH_SIZE)(state_of(), KEY, Examples(TABLE, N, order=order))
    seen = np.asarray(state.params["buffers"]["seen"], int)
    np.testing.assert_array_equal(np.sort(np.unique(seen[:, :2], return_counts=True)), [[0, 1, 2, 3], [2, 2, 2, 2]])
    assert (seen[:, 2:] >= 4).all() and len(np.unique(seen[:, 2:])) == STEPS * 3
    assert all(len(np.unique(seen[i : i + 2, :2])) == 4 for i in (0, 2))  # a pass ends before the next begins
    following = order(KEY, STEPS, STEPS, N, BATCH_SIZE)
    assert (np.asarray(following) != seen).any()
    for bad, message in (
        (lambda: grouped((4, 18), (5,)), "per_batch must have one number for each of the 2 groups, got 1"),
        (lambda: grouped((4, 18), (0, 5)), r"per_batch\[0\] must be at least 1, got 0"),
        (lambda: order(KEY, 0, 4, N, 6), "22 examples in batches of 5, got 22 examples in batches of 6"),
        (lambda: order(KEY, 0, 4, N + 1, 5), "22 examples in batches of 5, got 23 examples in batches of 5"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()


def test_what_is_generated_is_drawn_anew_at_every_step_and_replayed_from_the_key_and_its_number():
    epoch = make_train_epoch(STEP, BATCH_SIZE)
    examples = Examples(TABLE, N, drawing)
    first, second = (epoch(state_of()._replace(step=jnp.int32(s)), KEY, examples)[0] for s in (0, STEPS))
    seen = [np.asarray(state.params["buffers"]["seen"]) for state in (first, second)]
    fractions = [ages - np.floor(ages) for ages in seen]
    assert len(np.unique(np.concatenate(fractions))) == 2 * STEPS * BATCH_SIZE
    assert 0.3 < fractions[0].mean() < 0.7
    np.testing.assert_array_equal(np.floor(seen[1]), permuted(KEY, STEPS, STEPS, N, BATCH_SIZE))
    again, _ = epoch(state_of(), KEY, examples)
    chex.assert_trees_all_equal(again, first)
    # The objective's own noise is that of rows: its key does not depend on how a batch is made.
    rows_loss = epoch(state_of(), KEY, TABLE)[0].params["w"]
    fixed = Examples(TABLE, N, lambda data, key, indices: rows(data, key, indices))
    np.testing.assert_array_equal(epoch(state_of(), KEY, fixed)[0].params["w"], rows_loss)


def test_data_are_an_argument_of_the_program_and_no_constant_in_it():
    text = make_train_epoch(STEP, BATCH_SIZE).lower(state_of(), KEY, Examples(TABLE, N, drawing)).as_text()
    (main,) = (line for line in text.splitlines() if "func.func public @main" in line)
    assert "tensor<22x2xf32>" in main
    assert not any("constant" in line for line in text.splitlines() if "22x2xf32" in line)


@pytest.mark.parametrize("batch_size", [1, 5, 22, 100])
def test_an_evaluation_takes_each_example_once_generated_or_not(batch_size):
    evaluate = make_evaluate(recorder(), objective, batch_size)
    params = recorder().init(KEY)
    metrics = evaluate(params, KEY, TABLE)
    np.testing.assert_allclose(metrics["age"], np.mean(np.arange(N)), rtol=1e-6)
    generated = Examples((), N, lambda data, key, i: {"age": 2.0 * i, "marks": {"math": jnp.stack([i, i + 1.0], 1)}})
    np.testing.assert_allclose(evaluate(params, KEY, generated)["age"], N - 1.0, rtol=1e-6)
    noisy = [float(evaluate(params, KEY, Examples(TABLE, N, drawing))["age"]) for _ in range(2)]
    assert noisy[0] == noisy[1]  # with the same key the same
    assert 0.2 < noisy[0] - np.mean(np.arange(N)) < 0.8


@pytest.mark.slow
def test_fit_ensemble_and_stream_take_pytrees_and_generated_examples():
    validation = jax.tree.map(lambda leaf: np.asarray(leaf[:7]), TABLE)
    options = {"epochs": 2, "batch_size": BATCH_SIZE}
    arrays = fit(recorder(), objective, optax.sgd(0.1), TABLE, validation, KEY, **options)
    wrapped = fit(recorder(), objective, optax.sgd(0.1), Examples(TABLE, N), Examples(validation, 7), KEY, **options)
    chex.assert_trees_all_equal(arrays.state, wrapped.state)
    assert arrays.history == wrapped.history
    generated = Examples(TABLE, N, drawing, drawn)
    options |= {"steps_per_epoch": 9}
    alone = fit(recorder(), objective, optax.sgd(0.1), generated, validation, KEY, **options)
    assert [row["step"] for row in alone.history] == [9, 18]
    setup = lambda _: (objective, optax.sgd(0.1))
    together = fit_ensemble(recorder(), setup, None, generated, validation, jnp.stack([KEY, KEY]), **options)
    chex.assert_trees_all_close(together.member(1).state, alone.state, rtol=1e-5)

    class Stream:
        batch_size, steps_per_epoch, next = BATCH_SIZE, STEPS, 0

        def __iter__(self):
            return self

        def __next__(self):
            indices = np.asarray(permuted(KEY, self.next, STEPS, N, BATCH_SIZE))[self.next % STEPS]
            self.next += 1
            return jax.tree.map(lambda leaf: np.asarray(leaf)[indices], TABLE)

        def seek(self, batch):
            self.next = batch

    streamed = fit_stream(recorder(), objective, optax.sgd(0.1), Stream(), validation, KEY, epochs=1)
    np.testing.assert_array_equal(streamed.state.params["buffers"]["seen"], permuted(KEY, 0, STEPS, N, BATCH_SIZE))
