"""Tests of experiments.burda: recipes, networks and data are those of the papers."""

import contextlib
import itertools
import json
import math
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tyro

from experiments.lib import paper_table
from experiments.lib.paper_row import Measuring
from fresh import init
from vae_jax import data, mlp_vae, objectives
from vae_jax.data._images import Images as ImageData
from vae_jax.objectives import Scheduled
from vae_jax.training import Progress


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import experiments.burda

    yield experiments.burda
    sys.path.pop(0)


TRAIN = np.full((200, 28, 28, 1), 51, np.uint8)


def make(script, *arguments):
    return script.make_row(tyro.cli(script.Options, args=list(arguments)), TRAIN)


def num_weights(model):
    """Number of weights of all layers, biases included."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0))))


def dense(*widths):
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def test_the_default_recipe_is_the_papers(script):
    recipe = make(script, "vae").recipe
    assert (recipe.epochs, recipe.batch_size) == (3280, 20)
    assert recipe.protocol == "8 of Burda's 8 stages (3280 epochs), batch 20, Adam 0.001 to 0.0001"


@pytest.mark.parametrize(("stages", "epochs", "span"), [(1, 1, 7), (4, 40, 7), (4, 40, 3), (7, 1093, 6)])
def test_each_stage_has_three_times_the_epochs_of_the_last_and_the_rate_falls_to_a_tenth_over_the_span(
    script, stages, epochs, span
):
    recipe = make(script, "vae", "--stages", str(stages), "--span", str(span), "--batch-size", "80").recipe
    assert recipe.epochs == epochs
    ends = np.cumsum([2 * 3**i for i in range(stages)])  # two steps per epoch: 80 of 200 images each
    expected = [2e-3 * 10 ** (-np.searchsorted(ends, i, side="right") / span) for i in range(min(2 * epochs, 100))]
    np.testing.assert_allclose(learning_rates(recipe, len(expected)), expected, rtol=1e-4)


def learning_rates(recipe, steps):
    """Adam's updates for a gradient far above eps: the learning rate itself, by bias correction from the first step."""
    state = recipe.optimizer.init(0.0)
    update = jax.jit(recipe.optimizer.update)
    rates = []
    for _ in range(steps):
        step, state = update(1e3, state)
        rates.append(-float(step))
    return rates


def test_with_epochs_the_rate_is_one_cosine_to_0(script):
    recipe = make(script, "iwae-5", "--epochs", "30", "--batch-size", "80").recipe
    assert (recipe.epochs, recipe.protocol) == (30, "30 epochs, batch 80, Adam 0.002 to 0 by a cosine")
    expected = 1e-3 * (1 + np.cos(np.pi * np.arange(61) / 60))
    np.testing.assert_allclose(learning_rates(recipe, 61), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("vae", "burda_vae"),
        ("two-layer --span 6", "burda_two_layer_span_6"),
        ("iwae-5 --epochs 9", "burda_iwae_5_cosine"),
        ("iwae-5 --epochs 9 --span 6", "burda_iwae_5_cosine"),
        ("vamp-prior --epochs 9", "burda_vamp_prior"),
    ],
)
def test_every_schedule_has_a_record_of_its_own(script, arguments, name):
    assert script.record_name(tyro.cli(script.Options, args=arguments.split())) == name


def test_the_networks_are_the_papers(script):
    (vae,) = make(script, "vae").variants
    assert num_weights(vae.model) == dense(784, 200, 200, 100) + dense(50, 200, 200, 784)
    (two,) = make(script, "two-layer").variants
    recognition = dense(784, 200, 200, 200) + dense(100, 100, 100, 100)
    assert num_weights(two.model) == recognition + dense(50, 100, 100, 200) + dense(100, 200, 200, 784)
    gated, vamp = make(script, "vamp-prior").variants
    layers = 2 * dense(784, 300, 300) + dense(300, 80) + 2 * dense(40, 300, 300) + dense(300, 784)
    assert num_weights(gated.model) == layers
    assert num_weights(vamp.model) == layers + 500 * 784


@pytest.mark.slow
def test_sigma_is_the_exponential_of_the_encoders_output_and_the_decoder_starts_at_the_data_mean(script):
    (vae,) = make(script, "vae").variants
    params = init(vae.model, jax.random.key(0))
    bias = np.repeat([0.3, -0.7], 50)
    params["encoder"]["output"] = {"kernel": np.zeros((200, 100), np.float32), "bias": bias.astype(np.float32)}
    posterior = vae.model.encode(params, np.ones((28, 28, 1), np.float32))
    np.testing.assert_allclose(posterior.mean, 0.3, rtol=1e-6)
    np.testing.assert_allclose(np.exp(0.5 * posterior.log_variance), np.exp(-0.7), rtol=1e-6)
    # logit(0.2), the pixels' mean, at z = 0: tanh networks without biases give 0 there.
    np.testing.assert_allclose(vae.model.decode(params, np.zeros(50, np.float32)).logits, np.log(0.25), rtol=1e-5)


def test_the_vamp_prior_row_warms_up_for_100_epochs_and_keeps_the_best(script):
    row = make(script, "vamp-prior", "--epochs", "7")
    assert (row.recipe.epochs, row.recipe.batch_size, row.recipe.patience) == (7, 100, 50)
    for variant in row.variants:
        assert isinstance(variant.objective, Scheduled)
        assert variant.objective.warm_up_steps == 100 * 2
    assert row.recipe.params(Progress(None, "the best", ())) == "the best"
    assert row.difference_bar == -1.5


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--stages", "0", "--stages must be between 1 and 8, got 0"),
        ("--stages", "9", "--stages must be between 1 and 8, got 9"),
        ("--span", "0", "--span must be between 1 and 99, got 0"),
        ("--epochs", "0", "--epochs must be between 1 and 1,000,000, got 0"),
        ("--test-images", "-5", "--test-images must be between 1 and 10,000, got -5"),
        ("--test-images", "20000", "--test-images must be between 1 and 10,000, got 20000"),
    ],
)
def test_an_option_out_of_range_is_refused(script, flag, value, message, capsys):
    with pytest.raises(SystemExit) as exit:
        script.main(tyro.cli(script.Options, args=["vae", flag, value]))
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_a_batch_size_of_0_is_refused_and_not_taken_for_the_default(script):
    with pytest.raises(ValueError, match="batch_size must be between 1 and the 200 training examples, got 0"):
        make(script, "vae", "--batch-size", "0")


def test_dreg_is_the_same_networks_with_two_gradients_and_a_difference_below_0(script):
    row = make(script, "dreg")
    assert row.variants[0].model == row.variants[1].model
    assert (row.difference_bar, row.recipe.batch_size) == (0.0, 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("vae", [objectives.negative_elbo]),
        ("iwae-5", [objectives.negative_iwae(5)]),
        ("iwae-50", [objectives.negative_iwae(50)]),
        ("dreg", [objectives.negative_iwae(20), objectives.negative_dreg(20)]),
        ("two-layer", [objectives.negative_sampled_elbo]),
        ("vamp-prior", [objectives.negative_sampled_elbo] * 2),
    ],
)
def test_every_model_is_trained_with_the_objective_of_its_row(script, row, expected):
    # Objectives are functions of any model: a small one makes it quick to compare values and gradients.
    model = mlp_vae((2, 2, 1), 2, (4,))
    params, xs = init(model, jax.random.key(0)), np.ones((3, 2, 2, 1), np.float32)
    gradient = lambda o: jax.value_and_grad(lambda p: o(model, p, jax.random.key(1), xs)[0])(params)
    actual = [variant.objective for variant in make(script, row).variants]
    pairs = jax.jit(lambda: [[gradient(o) for o in pair] for pair in zip(actual, expected, strict=True)])()
    for ours, theirs in pairs:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "rate", "eps"),
    [("vae", 1e-3, 1e-4), ("iwae-50 --stages 1 --batch-size 80", 2e-3, 1e-4), ("vamp-prior", 5e-4, 1e-8)],
)
def test_the_optimizer_is_the_papers_adam(script, arguments, rate, eps):
    recipe = make(script, *arguments.split()).recipe
    first, second, state = 0.0, 0.0, recipe.optimizer.init(0.0)
    for step, gradient in enumerate([2e-4, -1e-4, 3e-4, 3e-4], start=1):  # about as large as eps
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        expected = -rate * first / (1 - 0.9**step) / (math.sqrt(second / (1 - 0.999**step)) + eps)
        update, state = recipe.optimizer.update(gradient, state)
        np.testing.assert_allclose(update, expected, rtol=1e-3)


def few_images():
    """500 different training images and 4 test images."""
    pixels = np.random.default_rng(0).integers(0, 256, (504, 28, 28, 1)).astype(np.uint8)
    return ImageData("mnist", pixels[:500], None, pixels[500:], None, "")


@pytest.mark.parametrize(("row", "seeds"), [("vae", (0,)), ("dreg", (0, 1, 2))])
def test_the_last_400_training_images_are_held_out_and_the_test_bits_are_drawn_once(script, monkeypatch, row, seeds):
    images, given = few_images(), {}
    monkeypatch.setattr(script.data, "load_images", lambda name: images if name == "mnist" else None)

    def prepare_row(*args, **named):
        given.update(zip(("row", "images", "prepare", "measuring"), args, strict=True), **named)
        raise ValueError("enough")

    monkeypatch.setattr(script, "prepare_row", prepare_row)
    with pytest.raises(SystemExit):
        script.main(tyro.cli(script.Options, args=[row, "--epochs", "3"]))
    np.testing.assert_array_equal(given["images"].train, images.train[:100])
    np.testing.assert_array_equal(given["images"].validation, images.train[100:])
    bits = data.static_binarization(images.test, 1) / 255
    np.testing.assert_array_equal(given["images"].test, bits)
    assert set(np.unique(bits)) == {0.0, 1.0}
    assert (given["prepare"], given["seeds"]) == (data.binarize, seeds)
    assert given["measuring"] == Measuring(5000, ais_images=4)  # all 4 instead of the default 100


@pytest.mark.slow
@pytest.mark.parametrize(("row", "names"), [("two-layer", ["two-layer"]), ("vamp-prior", ["gated", "gated-vamp"])])
def test_a_row_is_trained_and_the_same_command_again_only_reads_it(script, tmp_path, monkeypatch, row, names):
    monkeypatch.setattr(script.data, "load_images", lambda name: few_images())
    arguments = f"{row} --epochs 1 --batch-size 50 --nll-samples 20 --ais-images 0 --runs {tmp_path}/runs"
    options = tyro.cli(script.Options, args=[*arguments.split(), "--docs", f"{tmp_path}/docs"])
    with pytest.warns(UserWarning, match="warm-up") if row == "vamp-prior" else contextlib.nullcontext():
        script.main(options)
    record = tmp_path / f"docs/results/{script.record_name(options)}.json"
    before = record.read_text()
    runs = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [f"{name}-seed0" for name in names]
    for name in names:
        # Far from trained, but better than 784 fair coins, the optimum for these images of uniform noise.
        assert 0 < json.loads((tmp_path / f"runs/{name}-seed0/summary.json").read_text())["nll"] < 784
    monkeypatch.setattr(paper_table, "measure_vae", lambda *args: pytest.fail("measured again"))
    with pytest.warns(UserWarning, match="warm-up") if row == "vamp-prior" else contextlib.nullcontext():
        script.main(options)
    assert {path: path.read_bytes() for path in runs} == runs
    assert record.read_text() == before


def test_the_help_lists_the_rows_with_the_papers_number_and_the_bar(script, capsys):
    with pytest.raises(SystemExit) as exit:
        tyro.cli(script.Options, args=["--help"], description=script.__doc__)
    assert exit.value.code == 0
    table_lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"  \S", line)]
    lines = {line.split()[0]: line for line in table_lines}
    for row in ("vae", "iwae-5", "iwae-50", "two-layer", "vamp-prior"):
        for variant in make(script, row).variants:
            assert all(str(number) in lines[row] for number in (variant.paper, variant.bar) if number is not None)
    assert "the same sign 3 times" in lines["dreg"]
    assert "a gain of 1.5" in lines["vamp-prior"]
