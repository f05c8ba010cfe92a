from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.distributions import Bernoulli, Normal, standard_normal
from vae_jax.models import VAE
from vae_jax.objectives import Aux, Scheduled, negative_elbo
from vae_jax.training import Diverged, Progress, best_epoch, fit, init_train_state
from vae_jax.training.checkpoints import OrbaxCheckpoints


def no_distribution(*_):
    raise AssertionError("the toy objective uses no distribution")


COUNTER = VAE(lambda key: {"w": jnp.zeros(())}, no_distribution, no_distribution, no_distribution)
LONGEST = 10  # epochs of a script
HUGE = np.float32(1e38)  # in a script: a loss that is not finite


def examples(count, validation, losses):
    """Identical examples: 1 for validation, and the loss at each number of epochs, from 0."""
    losses = np.pad(losses, (0, 1 + LONGEST - len(losses)), constant_values=99.0)
    losses = np.where(np.isfinite(losses), losses, HUGE)  # data that are not finite are refused
    return np.tile(np.array([validation, *losses], np.float32), (count, 1))


def scripted(model, params, key, batch):
    """Objective that returns the loss stored in the examples. Each epoch (one step of SGD at rate 1) adds 1 to w.

    The losses are data, not part of the program: runs with different losses need one compilation.
    """
    w = jax.lax.stop_gradient(params["w"])
    validation, loss = batch[0, 0] > 0.5, batch[0, 1 + w.astype(int)]
    loss = jnp.where(loss == HUGE, jnp.nan, loss)
    loss += jnp.where(validation, 0.0, w - params["w"])
    return loss, Aux({"noise": jax.random.normal(key)}, None)


def warming_up(warm_up_steps):
    """Objective with a warm-up, during which it returns a loss that no validation may use."""

    def at(step):
        def objective(model, params, key, batch):
            loss, aux = scripted(model, params, key, batch)
            return jnp.where((step >= warm_up_steps) | (batch[0, 0] < 0.5), loss, -1e6), aux

        return objective

    return Scheduled(at, warm_up_steps)


TRAIN, VALIDATION = examples(4, False, [0.0] * LONGEST), examples(3, True, [99.0, 1.0, 1.0])


def run(losses, epochs=None, *, train_losses=None, warm_up_steps=None, **options):
    """Runs `fit` with the validation loss losses[e - 1] after epoch e."""
    objective = scripted if warm_up_steps is None else warming_up(warm_up_steps)
    train = TRAIN if train_losses is None else examples(4, False, train_losses)
    arguments = (COUNTER, objective, optax.sgd(1.0), train, examples(3, True, [99.0, *losses]), jax.random.key(0))
    return fit(*arguments, epochs=epochs or len(losses), batch_size=4, **options)


def slow(*values):
    """Marks a test case as slow, because it needs its own compilation."""
    return pytest.param(*values, marks=pytest.mark.slow)


def validation_losses(progress):
    return [row["validation/loss"] for row in progress.history]


def test_the_best_parameters_are_those_of_the_lowest_validation_loss_and_the_state_is_the_last():
    progress = run([9.0, 5.0, 3.0, 4.0, 3.5])
    assert validation_losses(progress) == [9.0, 5.0, 3.0, 4.0, 3.5]
    assert progress.best_epoch == 3
    assert float(progress.best_params["w"]) == 3.0
    assert float(progress.state.params["w"]) == 5.0
    assert int(progress.state.step) == 5
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in progress.history] == [1, 2, 3, 4, 5]


def test_of_equal_validation_losses_the_first_is_the_best():
    progress = run([9.0, 3.0, 3.0])
    assert progress.best_epoch == 2
    assert float(progress.best_params["w"]) == 2.0


@pytest.mark.parametrize(
    ("patience", "stops_after", "best"), [slow(1, 4, 3), (2, 5, 3), slow(3, 9, 6), (None, 10, 6)], ids=str
)
def test_training_stops_after_patience_epochs_without_a_new_lowest_loss(patience, stops_after, best):
    progress = run([9.0, 5.0, 3.0, 4.0, 3.0, 2.0, 4.0, 4.0, 4.0, 4.0], patience=patience)
    assert len(progress.history) == stops_after
    assert progress.best_epoch == best
    assert float(progress.best_params["w"]) == best


@pytest.mark.parametrize(
    ("warm_up_steps", "best"), [(0, 1), slow(1, 1), slow(2, 2), (3, 4), slow(4, 4), slow(5, 6), (6, 6)]
)
def test_no_epoch_that_ends_before_the_warm_up_does_is_the_best(warm_up_steps, best):
    # One step an epoch, so that epoch e ends after e steps; the lowest loss of all is that of epoch 1.
    progress = run([1.0, 2.0, 6.0, 4.0, 7.0, 5.0], warm_up_steps=warm_up_steps)
    assert progress.best_epoch == best
    assert float(progress.best_params["w"]) == best
    # The losses are those of the objective after the warm-up, whenever they are taken.
    assert validation_losses(progress) == [1.0, 2.0, 6.0, 4.0, 7.0, 5.0]
    expected = [float(step < warm_up_steps) for step in range(1, 7)] if warm_up_steps else [None] * 6
    assert [row.get("warm_up") for row in progress.history] == expected


def test_during_the_warm_up_the_best_epoch_is_the_last():
    losses = [1.0, 2.0, 3.0, 9.0, 8.0]
    seen = []
    run(losses, warm_up_steps=4, on_epoch=lambda history: seen.append(best_epoch(history)))
    assert seen == [1, 2, 3, 4, 5]
    for epochs in range(4, 6):
        progress = run(losses, epochs, warm_up_steps=4)
        assert (progress.best_epoch, float(progress.best_params["w"])) == (epochs, epochs)


@pytest.mark.parametrize(
    ("warm_up_steps", "stops_after", "best"), [slow(0, 3, 1), (4, 7, 5), slow(5, 7, 5), slow(8, 10, 8)]
)
def test_patience_waits_for_the_end_of_the_warm_up(warm_up_steps, stops_after, best):
    losses = [1.0, 2.0, 3.0, 4.0, 3.5, 6.0, 7.0, 5.0, 8.0, 9.0]
    progress = run(losses, patience=2, warm_up_steps=warm_up_steps)
    assert (len(progress.history), progress.best_epoch) == (stops_after, best)
    assert float(progress.best_params["w"]) == best


def test_a_run_too_short_for_its_warm_up_says_so_before_the_first_epoch_and_keeps_the_last_parameters():
    epochs = []
    message = (
        r"the objective's warm-up takes 50 steps, but this run ends after 3 steps \(3 epochs of 1\): "
        r".*the parameters of the last epoch are kept; train for more epochs, or warm up in fewer steps"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        progress = run([1.0, 2.0, 3.0], patience=1, warm_up_steps=50, on_epoch=epochs.append)
    assert caught[0].filename == __file__  # it points at the call of fit
    assert (len(progress.history), progress.best_epoch, float(progress.best_params["w"])) == (3, 3, 3.0)
    # As an error, which warnings are in these tests, it stops the run at the start.
    epochs.clear()
    with pytest.raises(UserWarning, match="warm-up takes 4 steps"):
        run([1.0, 2.0, 3.0], warm_up_steps=4, on_epoch=epochs.append)
    assert epochs == []
    run([1.0, 2.0, 3.0], warm_up_steps=3)  # long enough


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 4])
def test_a_resumed_run_has_the_same_best_epoch_whether_it_was_stopped_during_the_warm_up_or_after(tmp_path, stop_after):
    losses = [1.0, 2.0, 9.0, 4.0, 6.0, 5.0]
    uninterrupted = run(losses, warm_up_steps=3)
    assert uninterrupted.best_epoch == 4

    def stop(history):
        if len(history) == stop_after:
            raise KeyboardInterrupt

    def checkpoints():
        return OrbaxCheckpoints(tmp_path / "checkpoints", jax.random.key(0), {}, every_seconds=0.0)

    with pytest.raises(KeyboardInterrupt):
        run(losses, warm_up_steps=3, checkpoints=checkpoints(), on_epoch=stop)
    like = init_train_state(COUNTER, optax.sgd(1.0), jax.random.key(0))
    restored = checkpoints().restore(Progress(like, like.params, ()))
    assert (len(restored.history), restored.best_epoch) == (stop_after, stop_after)
    resumed = run(losses, warm_up_steps=3, checkpoints=checkpoints())
    assert resumed.history == uninterrupted.history
    assert resumed.best_epoch == 4
    assert float(resumed.best_params["w"]) == 4.0


def test_no_history_has_best_epoch_0():
    state = init_train_state(COUNTER, optax.sgd(1.0), jax.random.key(0))
    assert Progress(state, state.params, ()).best_epoch == 0


def test_validation_draws_the_same_noise_after_every_epoch_and_training_does_not():
    history = run([3.0, 2.0, 1.0]).history
    assert len({row["validation/noise"] for row in history}) == 1
    assert len({row["train/noise"] for row in history}) == 3


def test_the_callbacks_meet_the_start_and_every_epochs_history_in_turn():
    seen = []
    progress = run(
        [3.0, 1.0, 2.0],
        on_start=lambda: seen.append("start"),
        on_epoch=lambda history: seen.append((len(history), history[-1]["step"], best_epoch(history))),
    )
    assert seen == ["start", (1, 1, 1), (2, 2, 2), (3, 3, 2)]
    assert progress.best_epoch == 2


class MemoryCheckpoints:
    """Checkpoints that are due after given epochs, and record the epoch and the weight of each saved progress."""

    def __init__(self, due_after=()):
        self.due_after = due_after
        self.questions = 0
        self.saved = []

    def restore(self, like):
        return None

    def due(self):
        self.questions += 1
        return self.questions in self.due_after

    def save(self, progress):
        weights = progress.state.params["w"], progress.best_params["w"]
        self.saved.append((len(progress.history), *map(float, weights)))


@pytest.mark.parametrize(
    ("due_after", "patience", "saved"),
    [
        ((1, 2, 3), None, [(1, 1.0, 1.0), (2, 2.0, 2.0), (3, 3.0, 2.0), (4, 4.0, 2.0)]),
        ((2,), None, [(2, 2.0, 2.0), (4, 4.0, 2.0)]),
        ((), None, [(4, 4.0, 2.0)]),
        # Early stopping is known only after one more epoch was dispatched, which must have changed nothing.
        ((), 1, [(3, 3.0, 2.0)]),
        ((1, 2, 3), 1, [(1, 1.0, 1.0), (2, 2.0, 2.0), (3, 3.0, 2.0)]),
    ],
)
def test_progress_is_saved_where_it_is_due_and_at_the_end(due_after, patience, saved):
    checkpoints = MemoryCheckpoints(due_after)
    progress = run([3.0, 1.0, 2.0, 2.0], patience=patience, checkpoints=checkpoints)
    assert checkpoints.saved == saved
    assert (len(progress.history), float(progress.state.params["w"]), float(progress.best_params["w"])) == saved[-1]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run_and_the_last_finite_parameters_are_saved(tmp_path, split, value):
    losses = [9.0, 5.0, value, 4.0] if split == "validation" else [9.0, 5.0, 3.0, 4.0]
    train_losses = [0.0, 0.0, value, 0.0] if split == "train" else None
    seen = []
    checkpoints = OrbaxCheckpoints(tmp_path / "checkpoints", jax.random.key(0), {}, every_seconds=0.0)
    message = {
        "train": r"training diverged in epoch 3 at step 3 \(step 1 of 1\): the loss is not finite \(nan\), at 4 of the "
        r"4 examples of its batch, first at example \d of train \(position 0 of the batch\); the parameters before "
        r"that step are kept: lower the learning rate",
        "validation": r"the validation loss is not finite after epoch 3 \(step 3\), though the training loss is \(0\)",
    }[split]
    for _ in range(2):  # the second is restored, and ends in the same way at once
        with pytest.raises(Diverged, match=message):
            run(
                losses,
                train_losses=train_losses,
                checkpoints=checkpoints,
                on_epoch=lambda history: seen.append(len(history)),
            )
    assert seen == [1, 2, 3]
    like = init_train_state(COUNTER, optax.sgd(1.0), jax.random.key(0))
    restored = OrbaxCheckpoints(tmp_path / "checkpoints", jax.random.key(0), {}).restore(
        Progress(like, like.params, ())
    )
    assert validation_losses(restored)[:2] == [9.0, 5.0] and len(restored.history) == 3
    # The parameters before the step that is not finite; those after it, if only validation is not.
    assert float(restored.state.params["w"]) == (2.0 if split == "train" else 3.0)
    assert float(restored.best_params["w"]) == 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": -2}, "epochs must be at least 1, got -2"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be between 1 and the 4 training examples, got 0"),
        ({"batch_size": 5}, "batch_size must be between 1 and the 4 training examples, got 5"),
        ({"validation": VALIDATION[:0]}, "validation must hold at least 1 example"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_numbers_out_of_range_are_refused_before_anything_is_computed(options, message):
    options = {"epochs": 2, "batch_size": 4, "validation": VALIDATION} | options
    validation = options.pop("validation")
    checkpoints = MemoryCheckpoints()
    with pytest.raises(ValueError, match=message):
        fit(
            COUNTER, scripted, optax.sgd(1.0), TRAIN, validation, jax.random.key(0),
            checkpoints=checkpoints, **options,
        )  # fmt: skip
    assert checkpoints.saved == []


@pytest.mark.slow
def test_an_objective_may_take_examples_that_hold_more_than_what_the_model_decodes():
    """A label beside the vector; an objective that does not take it gives the message of the wrong shape."""
    init = lambda key: {"kernel": 0.1 * jax.random.normal(key, (5, 4)), "decoder": jnp.zeros((2, 3))}

    def encode(params, x):
        hidden = x @ params["kernel"]
        return Normal(hidden[:2], hidden[2:])

    model = VAE(init, encode, lambda params: standard_normal(2), lambda params, z: Bernoulli(z @ params["decoder"]))

    def loss_of(model, params, key, x):
        return -model.decode(params, model.encode(params, x).sample(key)).log_prob(x[:3])

    objective = lambda model, params, key, batch: (
        jnp.mean(jax.vmap(partial(loss_of, model, params))(jax.random.split(key, len(batch)), batch)),
        Aux({}, None),
    )
    data = np.random.default_rng(0).uniform(size=(12, 5)).astype(np.float32)
    given = optax.sgd(1e-3), data, data[:4], jax.random.key(0)
    assert len(fit(model, objective, *given, epochs=1, batch_size=4).history) == 1
    with pytest.raises(ValueError, match=r"^train: expected one vector of shape \(3,\), got \(5,\)$"):
        fit(model, negative_elbo, *given, epochs=1, batch_size=4)
