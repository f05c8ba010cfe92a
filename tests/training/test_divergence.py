"""A run that diverges keeps its last finite parameters, and names the term, the step and the example."""

from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.models import VAE, likelihoods, mlp_vae
from vae_jax.objectives import Aux, mean_over_batch, negative_elbo, with_preprocessing
from vae_jax.training import Diverged, Progress, fit, fit_ensemble, init_train_state
from vae_jax.training._checks import check_finite
from vae_jax.training.checkpoints import OrbaxCheckpoints

DATA = np.random.default_rng(0).uniform(size=(44, 3)).astype(np.float32)
KEY = jax.random.key(0)
MODEL = mlp_vae((3,), latent_dim=2, hidden=(4,), likelihood=likelihoods.normal)


def train(objective=negative_elbo, optimizer=None, data=DATA, model=MODEL, **options):
    optimizer = optax.adam(1e-2) if optimizer is None else optimizer
    options = {"epochs": 6, "batch_size": 8} | options
    return fit(model, objective, optimizer, data[4:], DATA[:4], KEY, **options)


def saving_to(saved):
    return SimpleNamespace(restore=lambda like: None, due=lambda: False, save=saved.append)


@pytest.mark.slow
def test_the_state_before_the_step_that_is_not_finite_is_saved_and_resumes_to_the_same_words_and_bits(tmp_path):
    checkpoints = lambda: OrbaxCheckpoints(tmp_path / "c", KEY, {}, every_seconds=1e9)
    like = init_train_state(MODEL, optax.adam(10.0), KEY)
    messages, states = [], []
    for _ in range(2):
        with pytest.raises(Diverged) as caught:
            train(optimizer=optax.adam(10.0), checkpoints=checkpoints())
        messages.append(str(caught.value))
        states.append(checkpoints().restore(Progress(like, like.params, ())).state)
    assert messages[0] == messages[1]
    step = int(states[0].step)
    epoch, of_epoch = divmod(step, 5)
    expected = f"training diverged in epoch {epoch + 1} at step {step + 1} (step {of_epoch + 1} of 5): the "
    assert messages[0].startswith(expected)
    assert "KL(q(z | x) || p(z))" in messages[0] or "-log p(x | z)" in messages[0]
    assert "lower the learning rate" in messages[0]
    chex.assert_tree_all_finite(states[0].params)
    chex.assert_trees_all_equal(*states)


@pytest.mark.slow
def test_the_one_example_that_is_to_blame_is_named_by_its_place_in_the_data():
    data = DATA.copy()
    data[4 + 23] = 1e30  # finite, but its square is not
    saved = []
    with pytest.raises(Diverged) as caught:
        train(data=data, checkpoints=saving_to(saved))
    message = str(caught.value)
    assert message.startswith("training diverged in epoch 1 at step ")
    assert "the distortion, -log p(x | z), is not finite (" in message
    assert "), at example 23 of train (position " in message
    # The data of that batch are far from standardized, but the first loss was small: the example is the cause.
    assert message.endswith("are kept: look at that example, or lower the learning rate")
    assert int(saved[0].state.step) < 5
    chex.assert_tree_all_finite(saved[0].state.params)


@pytest.mark.slow
def test_preprocessing_is_replayed_with_the_steps_own_key():
    # The preprocessing draws one pixel in a hundred that is too large; the examples themselves are not.
    def prepare(key, batch):
        return jnp.where(jax.random.uniform(key, batch.shape) < 0.01, 1e30, batch)

    with pytest.raises(Diverged, match=r"the distortion, .* at example \d+ of train \(position \d of the batch\)"):
        train(with_preprocessing(negative_elbo, prepare), data=DATA)


def test_a_gradient_that_is_not_finite_is_named_by_its_parameters_and_a_finite_loss_is_not_blamed():
    model = VAE(lambda key: {"a": jnp.ones(()), "root": jnp.zeros(())}, None, None, None)

    @mean_over_batch
    def objective(model, params, key, x):
        return params["a"] * jnp.mean(x) + jnp.sqrt(jnp.abs(params["root"])), {}

    saved = []
    with pytest.raises(
        Diverged, match=r"at step 1 \(step 1 of 5\): the gradient of root is not finite \(nan\), at 8 of"
    ):
        train(objective, optax.sgd(0.1), model=model, checkpoints=saving_to(saved))
    assert jax.tree.map(float, saved[0].state.params) == {"a": 1.0, "root": 0.0}
    # An optimizer that skips a step without a finite gradient may do so.
    progress = train(objective, optax.apply_if_finite(optax.sgd(0.1), 1000), model=model, epochs=2)
    assert len(progress.history) == 2


@pytest.mark.slow
def test_data_far_from_standardized_are_named_where_the_first_loss_is_huge():
    message = r"the first loss is (inf|nan): the data have mean \S+e\+24 and standard deviation \S+e\+24; stand"
    with pytest.raises(Diverged, match=message):
        train(data=1e25 * DATA)
    message = r"the first loss is \S+: the data have mean \d\d.\d and .*; standardize them, or scale them to \[0, 1\]"
    with pytest.raises(Diverged, match=message):
        train(data=40 * DATA, optimizer=optax.sgd(1e6))


@pytest.mark.slow
def test_a_healthy_member_has_the_same_bits_beside_one_that_diverges():
    def setup(rate):
        return negative_elbo, optax.adam(rate)

    keys = jax.random.split(KEY, 2)
    saved = []
    train = lambda rates, **more: fit_ensemble(
        MODEL, setup, jnp.asarray(rates), DATA[4:], DATA[:4], keys, epochs=6, batch_size=8, **more
    )
    healthy, beside = train([1e-2, 1e-2]), train([1e-2, 10.0], checkpoints=saving_to(saved))
    chex.assert_trees_all_equal(healthy.member(0), beside.member(0))
    assert healthy.diverged == (None, None)
    assert beside.diverged[0] is None
    divergence = beside.diverged[1]
    assert divergence.message.startswith(f"training diverged in epoch {divergence.epoch} at step {divergence.step} (")
    assert int(beside.state.step[1]) == divergence.step - 1
    chex.assert_tree_all_finite(beside.state.params)
    chex.assert_trees_all_equal(saved[-1].state, beside.state)
    # Alone it diverges at the same step.
    with pytest.raises(Diverged) as caught:
        fit(MODEL, *setup(10.0), DATA[4:], DATA[:4], keys[1], epochs=6, batch_size=8)
    assert f"at step {divergence.step} (" in str(caught.value)


def test_values_that_are_not_finite_are_counted_and_placed():
    images = np.zeros((30, 4, 5, 1), np.float32)
    check_finite("train", images)
    check_finite("train", np.zeros((3, 2), np.uint8))
    images[17, 3, 4, 0] = np.nan
    images[20, 0, 0, 0] = images[29, 0, 0, 0] = -np.inf
    for array in (images, jnp.asarray(images), jnp.asarray(images, jnp.bfloat16)):
        with pytest.raises(ValueError, match=r"train holds 3 values .* \(first at example 17, position \(3, 4, 0\)\)"):
            check_finite("train", array)


def test_the_objective_of_no_vae_is_trained_as_before():
    model = VAE(lambda key: {"w": jnp.zeros(())}, None, None, None)
    objective = lambda model, params, key, batch: (jnp.square(params["w"] - jnp.mean(batch)), Aux({}, None))
    assert train(objective, optax.sgd(0.1), model=model).history[-1]["validation/loss"] < 0.1
