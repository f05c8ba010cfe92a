import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import soon_started
from vae_jax.models import VAE, conv_vae, mlp_vae
from vae_jax.objectives import Aux, beta_vae_loss, linear, negative_elbo, scheduled
from vae_jax.training import Diverged, EnsembleProgress, fit, fit_ensemble, init_train_state
from vae_jax.training.checkpoints import OrbaxCheckpoints, load_best

IMAGES = np.random.default_rng(0).integers(0, 2, (50, 4, 4, 1)).astype(np.float32)
TRAIN, VALIDATION = IMAGES[:40], IMAGES[40:]
MODEL = mlp_vae((4, 4, 1), 2, hidden=(6,))
KEYS = jax.random.split(jax.random.key(3), 3)
NUMBERS = {"beta": [0.5, 1.0, 4.0], "rate": [0.1, 0.02, 0.05]}


def setup(numbers):
    return beta_vae_loss(numbers["beta"]), optax.adam(numbers["rate"])


def together(keys=KEYS, numbers=NUMBERS, model=MODEL, **options):
    options = {"epochs": 4, "batch_size": 8} | options
    return fit_ensemble(model, setup, numbers, TRAIN, VALIDATION, keys, **options)


def alone(index, model=MODEL, **options):
    options = {"epochs": 4, "batch_size": 8} | options
    numbers = {name: values[index] for name, values in NUMBERS.items()}
    return fit(model, *setup(numbers), TRAIN, VALIDATION, KEYS[index], **options)


def assert_the_same(progress, other):
    # XLA batches the same operations differently, and matrix products are rounded differently. Adam's first updates are
    # signs of gradients, which may change the fifth digit.
    chex.assert_trees_all_close(progress.state, other.state, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(progress.best_params, other.best_params, rtol=1e-4, atol=1e-5)
    assert len(progress.history) == len(other.history)
    for row, other_row in zip(progress.history, other.history, strict=True):
        assert row.keys() == other_row.keys()
        np.testing.assert_allclose(list(row.values()), list(other_row.values()), rtol=1e-4, atol=1e-4)


@pytest.fixture(params=["as on a CPU", "as on an accelerator"])
def way(request, monkeypatch):
    """Mode of computing the models: one after another, or all at once."""
    if request.param == "as on an accelerator":
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


@pytest.mark.slow
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", [{}, {"patience": 1, "epochs": 8}], ids=["", "patience"])
def test_each_model_is_the_one_that_trains_alone(options):
    progress = together(**options)
    members = [progress.member(i) for i in range(3)]
    for i, member in enumerate(members):
        assert_the_same(member, alone(i, **options))
    losses = [member.history[-1]["validation/loss"] for member in members]
    assert np.ptp(losses) > 0.5  # the models differ
    if options:
        assert len({len(member.history) for member in members}) > 1  # and do not all stop at once


@pytest.mark.slow
@pytest.mark.usefixtures("way")
def test_each_convolutional_model_is_the_one_that_trains_alone():
    model = soon_started(conv_vae((4, 4, 1), 2, channels=(3,), hidden=5))
    progress = together(model=model, epochs=2)
    for i in range(3):
        assert_the_same(progress.member(i), alone(i, model=model, epochs=2))


@pytest.mark.slow
def test_models_that_differ_in_their_keys_alone_need_no_numbers():
    progress = fit_ensemble(
        MODEL, lambda _: (negative_elbo, optax.adam(0.01)), None, TRAIN, VALIDATION, KEYS[:2], epochs=1, batch_size=8
    )
    for i in range(2):
        expected = fit(MODEL, negative_elbo, optax.adam(0.01), TRAIN, VALIDATION, KEYS[i], epochs=1, batch_size=8)
        assert_the_same(progress.member(i), expected)


# ------------------------------------------------------------------ what happens when, on models whose losses are given


def nothing(*_):
    raise AssertionError("the toy objective uses no distribution")


COUNTER = VAE(lambda key: {"w": jnp.zeros(())}, nothing, nothing, nothing)
NAN = float("nan")
LONGEST = 6  # epochs of a script
HUGE = np.float32(1e38)  # in a script: a loss that is not finite


def scripted(tables, train_tables=None, **options):
    """Trains models with given validation losses, tables[i] for model i; each epoch adds 1 to a model's weight.

    An epoch is one step of SGD at rate 1. The losses are data, not part of the program: other losses need no new
    compilation.
    """
    count, epochs = np.shape(tables)
    train_tables = np.zeros((count, epochs)) if train_tables is None else train_tables

    def examples(number, validation, losses):
        """Identical examples: 1 for validation, and the losses of each model at each number of epochs."""
        losses = np.pad(losses, ((0, 0), (0, 1 + LONGEST - np.shape(losses)[1])), constant_values=99.0)
        losses = np.where(np.isfinite(losses), losses, HUGE)  # data that are not finite are refused
        return np.tile(np.array([validation, *losses.ravel()], np.float32), (number, 1))

    def setup_of(which):
        def objective(model, params, key, batch):
            w = jax.lax.stop_gradient(params["w"])
            loss = batch[0, 1 + which * (1 + LONGEST) + w.astype(int)]
            loss = jnp.where(loss == HUGE, jnp.nan, loss)
            return loss + jnp.where(batch[0, 0] > 0.5, 0.0, w - params["w"]), Aux({}, None)

        return objective, optax.sgd(1.0)

    train, validation = examples(4, False, train_tables), examples(3, True, [[99.0, *table] for table in tables])
    keys = jax.random.split(jax.random.key(0), count)
    options = {"epochs": epochs} | options
    return fit_ensemble(COUNTER, setup_of, jnp.arange(count), train, validation, keys, batch_size=4, **options)


def ends(progress):
    """Number of epochs, best epoch, last weight and best weight of each model."""
    members = [progress.member(i) for i in range(len(progress.history))]
    return [(len(m.history), m.best_epoch, float(m.state.params["w"]), float(m.best_params["w"])) for m in members]


@pytest.mark.usefixtures("way")
def test_a_model_whose_patience_has_run_out_is_left_as_it_is_while_the_others_go_on():
    epochs = []
    progress = scripted(
        [[5.0, 6.0, 7.0, 1.0, 1.0, 1.0], [5.0, 4.0, 3.0, 3.5, 2.0, 3.0], [9.0, 8.0, 8.0, 8.0, 1.0, 1.0]],
        patience=2,
        on_epoch=lambda history: epochs.append([len(rows) for rows in history]),
    )
    assert ends(progress) == [(3, 1, 3.0, 1.0), (6, 5, 6.0, 5.0), (4, 2, 4.0, 2.0)]
    assert epochs == [[1, 1, 1], [2, 2, 2], [3, 3, 3], [3, 4, 4], [3, 5, 4], [3, 6, 4]]


def test_it_ends_once_no_model_runs_any_more():
    progress = scripted([[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 0.5, 3.0, 4.0, 5.0]], patience=1)
    assert ends(progress) == [(2, 1, 2.0, 1.0), (3, 2, 3.0, 2.0)]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("where", ["train", "validation"])
def test_a_model_that_diverges_stays_at_its_best_and_says_so_in_its_last_row(where):
    losses = [[5.0, 4.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0]]
    train = np.zeros((2, 5))
    if where == "train":
        train[1, 2] = np.inf
    else:
        losses[1][2] = NAN
    progress = scripted(losses, train)
    assert ends(progress)[0] == (4, 4, 4.0, 4.0)
    # The last finite parameters: those before the step, or after it if only validation is not finite.
    assert ends(progress)[1] == (3, 2, 2.0 if where == "train" else 3.0, 2.0)
    assert progress.diverged[0] is None
    divergence = progress.diverged[1]
    assert (divergence.epoch, divergence.step) == (3, 3)
    assert divergence.term == ("the loss" if where == "train" else "the loss of the validation examples")
    assert divergence.position == (0 if where == "train" else None)
    last = progress.history[1][-1]
    assert not np.isfinite(last[f"{where}/loss"])
    assert [row["epoch"] for row in progress.history[1]] == [1, 2, 3]


@pytest.mark.slow
def test_where_all_diverge_at_once_it_ends_and_where_none_has_an_epoch_it_fails():
    assert ends(scripted([[5.0, NAN, 1.0], [4.0, NAN, 1.0]])) == [(2, 1, 2.0, 1.0), (2, 1, 2.0, 1.0)]
    with pytest.raises(Diverged, match=r"all models diverged in their first epoch; .* after epoch 1"):
        scripted([[NAN, 1.0], [NAN, 1.0]])


class Stopped(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_one_checkpoint_holds_all_models_and_goes_on_where_each_was(tmp_path, stop_after):
    tables = [[5.0, 6.0, 7.0, 1.0, 1.0, 1.0], [5.0, 4.0, 3.0, 3.5, 2.0, 3.0], [9.0, 8.0, NAN, 8.0, 1.0, 1.0]]
    uninterrupted = scripted(tables, patience=2)
    assert ends(uninterrupted) == [(3, 1, 3.0, 1.0), (6, 5, 6.0, 5.0), (3, 2, 3.0, 2.0)]

    def stop(history):
        if max(map(len, history)) == stop_after:
            raise Stopped

    checkpoints = lambda: OrbaxCheckpoints(tmp_path / "c", jax.random.key(0), {}, every_seconds=0.0)
    with pytest.raises(Stopped):
        scripted(tables, patience=2, checkpoints=checkpoints(), on_epoch=stop)
    resumed = scripted(tables, patience=2, checkpoints=checkpoints())
    assert ends(resumed) == ends(uninterrupted)
    assert str(resumed.history) == str(uninterrupted.history)  # as strings, in which nan is nan
    best = load_best(tmp_path / "c", {"w": jnp.zeros(3)})
    np.testing.assert_array_equal(best["w"], [1.0, 5.0, 2.0])


def test_a_checkpoint_restores_to_the_record_it_was_of(tmp_path):
    state = jax.vmap(lambda key: init_train_state(COUNTER, optax.sgd(1.0), key))(KEYS)
    row = {"epoch": 1, "validation/loss": 2.0}
    progress = EnsembleProgress(state, state.params, ((row,), (), (row,)))
    checkpoints = OrbaxCheckpoints(tmp_path / "c", jax.random.key(0), {})
    checkpoints.save(progress)
    restored = checkpoints.restore(progress._replace(history=()))
    assert isinstance(restored, EnsembleProgress)
    assert restored.history == progress.history


@pytest.mark.slow
def test_the_warm_up_is_each_models_own_and_the_same_for_all():
    warming = lambda end: (scheduled(beta_vae_loss, linear(10, 0.0, end)), optax.adam(0.02))
    progress = fit_ensemble(
        MODEL, warming, jnp.asarray([1.0, 3.0]), TRAIN, VALIDATION, KEYS[:2], epochs=3, batch_size=8
    )
    expected = fit(MODEL, *warming(3.0), TRAIN, VALIDATION, KEYS[1], epochs=3, batch_size=8)
    assert_the_same(progress.member(1), expected)
    assert [row["warm_up"] for row in progress.history[0]] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": KEYS[0]}, r"keys must be one key for each model, as jax.random.split makes them, got \(\)"),
        ({"keys": KEYS[:0]}, "keys must be one key for each model"),
        ({"keys": jnp.zeros(3)}, "keys must be one key for each model"),
        ({"keys": KEYS[:2]}, r"numbers\['beta'\] must hold one number for each of the 2 keys, got the shape \(3,\)"),
        ({"numbers": NUMBERS | {"rate": 0.1}}, r"numbers\['rate'\] must hold one number for each of the 3 keys"),
        ({"numbers": NUMBERS | {"beta": [1.0, -2.0, 1.0]}}, "beta must be at least 0, got -2.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 41}, "batch_size must be between 1 and the 40 training examples, got 41"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_input_is_refused_before_anything_is_compiled(changes, message):
    with pytest.raises(ValueError, match=message):
        together(**{"on_start": lambda: pytest.fail("it began"), **changes})
