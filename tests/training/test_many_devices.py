"""Results and checkpoints of 8 simulated devices, in another process, compared with one device in this process."""

import json

import jax
import numpy as np
import pytest

from contract.objectives_table import OBJECTIVES
from training.on_eight_devices import (
    BATCH_SIZE,
    KEY,
    MODEL,
    OBJECTIVE,
    OPTIMIZER,
    TRAIN,
    VALIDATION,
    after_an_epoch,
    by_path,
    codes_after_an_epoch,
    fit_averaged,
    fit_tables,
    fit_two_epochs,
    flat,
    initial_state,
    microbatches_after_an_epoch,
    moments_after_an_epoch,
    tables_after_an_epoch,
    value_and_gradient,
)
from training.subprocesses import run
from vae_jax.training import Progress, make_evaluate, make_train_epoch, make_train_step
from vae_jax.training.checkpoints import OrbaxCheckpoints, load_best

pytestmark = pytest.mark.slow

# Sums over a batch are computed in another order. Adam divides a gradient by its size: if a gradient is only
# rounding, so is the step. The tolerance for parameters is a thousandth of one step of Adam.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
AFTER_ADAM = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """(folder, results by name, facts) of `on_eight_devices`."""
    folder = tmp_path_factory.mktemp("eight")
    run("-m", "training.on_eight_devices", folder, devices=8, seconds=600)
    with np.load(folder / "results.npz") as results:
        return folder, dict(results), json.loads((folder / "facts.json").read_text())


@pytest.fixture(scope="module")
def one():
    """The state and metrics of the same epoch on one device."""
    return make_train_epoch(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), BATCH_SIZE)(initial_state(), KEY, TRAIN)


def assert_same(results, expected, tolerance):
    assert expected
    for name, value in expected.items():
        np.testing.assert_allclose(results[name], value, err_msg=name, **tolerance)


def test_this_process_has_one_device():
    assert jax.device_count() == 1


def test_every_objective_gives_the_loss_metrics_and_gradient_of_one_device(eight):
    for name, row in OBJECTIVES.items():
        function, trained, examples = value_and_gradient(row)
        expected = jax.jit(function)(trained, examples)
        assert_same(eight[1], flat(f"objectives/{name}", expected), CLOSE)


def test_the_order_of_an_epoch_is_that_of_one_device_and_buffers_are_of_the_global_batch(eight):
    expected = moments_after_an_epoch()
    seen = expected["params"]["buffers"]["seen"]
    np.testing.assert_array_equal(eight[1]["moments/params/buffers/seen"], seen)
    assert_same(eight[1], flat("moments", expected), CLOSE)
    # A device's own two examples of the first batch have another variance than the batch, of which the mean is made.
    assert abs(np.var(seen[0][:2]) - np.var(seen[0])) > 10


def test_codebooks_revived_codes_and_perplexity_are_of_the_global_batch(eight):
    expected = codes_after_an_epoch()
    assert_same(eight[1], flat("codes", expected), CLOSE)
    counts = expected["params"]["buffers"]["quantizers"]["level_1"]["counts"]
    assert (np.asarray(counts) == 4.0).any()  # revived by the last batch, with the count N / K = 64 / 16


def test_batches_that_are_dicts_and_generated_examples_give_the_values_of_one_device(eight):
    expected = tables_after_an_epoch()
    assert_same(eight[1], flat("tables", expected), CLOSE)
    assert_same(eight[1], flat("tables/fit", fit_tables()), CLOSE)
    weights = [expected[name]["params"]["w"] for name in ("rows", "generated")]
    assert all(np.abs(np.asarray(w) - 1.0).max() > 1e-3 for w in weights)
    assert np.abs(weights[0] - weights[1]).max() > 1e-4


def test_microbatches_on_eight_devices_give_the_values_of_whole_batches_on_one(eight):
    expected = microbatches_after_an_epoch()
    assert_same(eight[1], flat("microbatches", expected), CLOSE)
    assert_same(eight[1], flat("microbatches", after_an_epoch(MODEL, OBJECTIVE, TRAIN)), CLOSE)


@pytest.mark.parametrize("name", ["replicated", "split"])
def test_an_epoch_and_its_evaluation_are_those_of_one_device(eight, one, name):
    state, metrics = one
    assert_same(eight[1], flat(f"{name}/state", state._asdict()), AFTER_ADAM)
    assert_same(eight[1], flat(f"{name}/metrics", metrics), CLOSE)
    validation = make_evaluate(MODEL, OBJECTIVE, BATCH_SIZE)(state.params, KEY, VALIDATION)
    assert_same(eight[1], flat(f"{name}/validation", validation), CLOSE)
    before = by_path(initial_state().params)
    assert all(np.abs(before[n] - a).max() > 1e-3 for n, a in by_path(state.params).items())  # a hundred times as far


@pytest.fixture(scope="module")
def fitted():
    return fit_two_epochs()


@pytest.mark.parametrize("name", ["replicated", "split", "partial"])
def test_a_fit_is_that_of_one_device(eight, fitted, name):
    expected = flat(f"{name}/fit", fitted)
    # A tree of lists and dictionaries: the rows of two epochs, and the parameters.
    assert sum("history" in path for path in expected) == 2 * (2 + 2 * 4)
    assert_same(eight[1], expected, AFTER_ADAM)


def test_a_moving_average_lies_where_the_parameters_do_and_is_that_of_one_device(eight):
    assert_same(eight[1], flat("averaged/fit", fit_averaged()[1]), AFTER_ADAM)
    parts = eight[2]["split"]["parts"]
    assert all(part == parts[f"params/{name}"] for name, part in eight[2]["averaged"].items())


def test_a_replicated_step_communicates_once_and_a_split_one_sums_alone(eight):
    facts = eight[2]
    ((types, kind),) = facts["replicated"]["collectives"]
    assert kind == "all-reduce"
    # The gradient of all parameters, and the metrics, in one.
    assert types.count("f32") == len(jax.tree.leaves(initial_state().params)) + 4
    # An evaluation moves no examples between devices: each makes its own part of every batch.
    assert {kind for _, kind in facts["replicated"]["of_evaluation"]} == {"all-reduce"}
    # By hidden units: one sum for each network's output forward, one for the encoder's code backward, one for the rest.
    assert [kind for _, kind in facts["split"]["collectives"]] == ["all-reduce"] * 4


@pytest.mark.parametrize("name", ["replicated", "split"])
def test_the_state_stays_where_it_lies_and_its_memory_is_used_again(eight, name):
    assert eight[2][name]["kept"] is True
    assert eight[2][name]["given_back"] is True


def test_rules_split_parameters_and_their_moments_alike(eight):
    shapes = {name: array.shape for name, array in by_path(initial_state()).items()}
    whole = {name: tuple(shape) for name, shape in eight[2]["replicated"]["parts"].items()}
    assert whole == shapes
    for name, part in eight[2]["split"]["parts"].items():
        halved = list(shapes[name])
        if "hidden_0" in name:
            halved[-1] //= 2
        if name.endswith("output/kernel"):
            halved[0] //= 2
        assert part == halved, name
    assert sum("hidden_0" in name or "output/kernel" in name for name in shapes) == 3 * 6


@pytest.fixture(scope="module")
def two_epochs():
    epoch = make_train_epoch(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), BATCH_SIZE)
    return epoch(epoch(initial_state(), KEY, TRAIN)[0], KEY, TRAIN)[0]


@pytest.fixture(scope="module")
def two(eight, tmp_path_factory):
    """The results by name of `on_two_devices`."""
    out = tmp_path_factory.mktemp("two") / "out.npz"
    run("-m", "training.on_two_devices", eight[0], out, devices=2)
    with np.load(out) as results:
        return dict(results)


@pytest.mark.parametrize("name", ["replicated", "split"])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_state_saved_on_eight_devices_is_trained_on_by_fewer(eight, two, two_epochs, name, devices):
    folder, results, _ = eight
    if devices == 1:
        like = initial_state()
        restored = OrbaxCheckpoints(folder / name, KEY, {}).restore(Progress(like, like.params, ())).state
        found = flat("restored", restored)
        assert {len(leaf.devices()) for leaf in jax.tree.leaves(restored)} == {1}
        epoch = make_train_epoch(make_train_step(MODEL, OBJECTIVE, OPTIMIZER), BATCH_SIZE)
        found |= flat("after", epoch(restored, KEY, TRAIN)[0])
    else:
        found = {path.removeprefix(f"{name}/"): array for path, array in two.items() if path.startswith(f"{name}/")}
    saved = {path: results[f"{name}/state/{path}"] for path in by_path(two_epochs)}
    for path, array in saved.items():
        np.testing.assert_array_equal(found[f"restored/{path}"], array, err_msg=path)
    assert saved["step"] == 3
    assert_same(found, flat("after", two_epochs), AFTER_ADAM)


@pytest.mark.parametrize("name", ["replicated", "split"])
def test_the_best_parameters_of_eight_devices_are_loaded_on_one(eight, name):
    folder, results, _ = eight
    loaded = load_best(folder / name, jax.eval_shape(MODEL.init, KEY))
    for path, array in flat(f"{name}/state/params", loaded).items():
        np.testing.assert_array_equal(results[path], array, err_msg=path)


def test_each_microbatch_is_split_over_all_devices(eight):
    _, _, facts = eight
    assert {kind for _, kind in facts["microbatches"]} == {"all-reduce"}
