"""`--condition labels`: a model given the label of each image, from the command line through its folder and back."""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vae_jax
from cli.conftest import call
from runs.commands import contents, lines_of, without_seconds
from vae_jax.data import Images
from vae_jax.distributions import mean_of
from vae_jax.models import Conditional, Example
from vae_jax.models._model import given
from vae_jax.runs import Settings
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.problem import make_problem

SMALL = "--hidden 8 --latent-dim 3 --batch-size 10 --validation-size 12 --elbo-samples 2 --data blobs.npz"
LABELS = f"{SMALL} --likelihood logistic --learning-rate 0.01 --condition labels"


def write_blobs(path, **changes):
    """Dark and bright images of 6 x 6, of three labels that say how bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 3
    images = rng.integers(0, 20, (100, 6, 6)) + 80 * labels[:, None, None]
    arrays = {"train": images[:80].astype(np.uint8), "test": images[80:].astype(np.uint8)}
    arrays |= {"train_labels": labels[:80], "test_labels": labels[80:]}
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with blobs.npz and two runs: with labels, which was stopped in its middle and resumed, and without."""
    folder = tmp_path_factory.mktemp("conditional")
    write_blobs(folder / "blobs.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call("train", "vae", *LABELS.split(), "--epochs", 4, "--run-dir", "labels") == 0
        patch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
        assert call("train", "vae", *LABELS.split(), "--epochs", 2, "--run-dir", "part") == 0
        assert call("train", "vae", "--run-dir", "part", "--resume", "--epochs", 4) == 0
        assert call("train", "vae", *SMALL.split(), "--epochs", 1, "--run-dir", "plain") == 0
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_labels_are_held_out_with_their_images_and_counted_over_all_splits():
    # Images that say their label in every pixel.
    images = lambda labels: np.broadcast_to(labels[:, None, None, None], (len(labels), 4, 4, 1)).astype(np.uint8)
    labels, few = np.arange(60, dtype=np.int32) % 7, np.array([2, 9], np.int32)
    data = Images("said", images(labels), labels, images(few), few, "")
    settings = Settings(condition="labels", batch_size=8, validation_size=10, likelihood="logistic")
    problem = make_problem(resolve(settings, data), data)
    assert problem.num_classes == 10 and len(problem.validation_contexts) == 10
    for examples in (problem.train_examples, problem.validation_examples):
        assert isinstance(examples, Example)
        np.testing.assert_array_equal(examples.x[:, 0, 0, 0], examples.context)
    np.testing.assert_array_equal(problem.test_examples.context, few)
    np.testing.assert_allclose(np.asarray(problem.test_examples.x)[:, 0, 0, 0] * 255, few, atol=1e-4)
    alone = make_problem(resolve(Settings(batch_size=8, validation_size=10), data), data)
    assert alone.num_classes is None and isinstance(alone.train_examples, np.ndarray)
    np.testing.assert_array_equal(alone.train, problem.train)


@pytest.mark.slow
def test_a_run_that_was_resumed_ends_in_the_bits_of_one_that_was_not(trained):
    part, whole = (vae_jax.load(trained / name) for name in ("part", "labels"))
    jax.tree.map(np.testing.assert_array_equal, part[1], whole[1])
    assert without_seconds(trained / "part/metrics.jsonl") == without_seconds(trained / "labels/metrics.jsonl")
    losses = [row["validation/loss"] for row in lines_of(trained / "labels/metrics.jsonl")]
    assert len(losses) == 4 and losses[-1] < losses[0]


@pytest.mark.slow
def test_the_folder_says_the_condition(trained):
    config = json.loads((trained / "labels/config.json").read_text())
    assert (config["condition"], config["num_classes"]) == ("labels", 3)
    plain = json.loads((trained / "plain/config.json").read_text())
    assert plain["condition"] == "none" and "num_classes" not in plain
    card = (trained / "labels/MODEL.md").read_text()
    assert "| condition | labels |" in card
    program = re.search(r"```python\n(.*?)```", card, re.S)[1].replace('"RUN"', repr(str(trained / "labels")))
    exec(program, variables := {})
    model, params, _ = vae_jax.load(trained / "labels")
    one = jax.jit(lambda label: vae_jax.sample(given(model, label), params, jax.random.key(0)))
    np.testing.assert_allclose(variables["image"], one(0), rtol=1e-5, atol=1e-6)
    report = (trained / "labels/report.html").read_text()
    assert re.search(r"condition.{0,40}labels", report, re.S) and "--condition labels" in report
    pictures = {path.name for path in (trained / "labels/figures").glob("*.png")}
    assert {"labels.png", "samples.png", "reconstructions.png", "traversal.png", "posterior_means.png"} <= pictures
    with Image.open(trained / "labels/figures/labels.png") as picture:
        width, height = picture.size
    assert 2.5 < width / height < 4.5  # ten columns and three rows, and the labels at their left


@pytest.mark.slow
def test_the_model_comes_back_as_a_family_that_uses_its_labels(trained, tmp_path):
    model, params, config = vae_jax.load(trained / "labels")
    assert isinstance(model, Conditional) and config["condition"] == "labels"
    z = jnp.zeros(3)
    picture = jax.jit(lambda label: mean_of(given(model, label).decode(params, z)).mean())
    means = [float(picture(label)) for label in range(3)]
    # Labels say how bright images are: 28 steps learn their order, if not the size.
    assert means[0] < means[1] < means[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert call("export", trained / "labels", "--format", "safetensors", "--output", "exported") == 0
    again, same, _ = vae_jax.load(tmp_path / "exported")
    assert isinstance(again, Conditional)
    jax.tree.map(np.testing.assert_array_equal, same, params)


@pytest.mark.slow
def test_an_evaluation_gives_each_image_its_label(here, capsys):
    before = json.loads(Path("labels/summary.json").read_text())
    more = ["--nll-samples", 50, "--ais-images", 2, "--ais-chains", 2, "--ais-temperatures", 5]
    assert call("evaluate", "labels", *more) == 0
    summary = json.loads(capsys.readouterr().out)
    # The bound is measured again with the same draws.
    assert summary["negative_elbo"] == before["negative_elbo"]
    assert summary["nll"] <= before["negative_elbo"] and summary["nll_samples"] == 50
    for name in ("mutual_information", "marginal_kl", "ais_nll"):
        assert np.isfinite(summary[name])
    # With other labels the bound is another one: the labels are used.
    with np.load("blobs.npz") as arrays:
        images = vae_jax.data.scale(jax.random.key(0), arrays["test"][..., None])
        labels = arrays["test_labels"].astype(np.int32)
    model, params, _ = vae_jax.load("labels")
    nll = lambda labels: vae_jax.evaluation.measure_nll(model, params, jax.random.key(0), Example(images, labels), 50)[
        "nll"
    ]
    np.testing.assert_allclose(nll(labels), summary["nll"], rtol=0.02)
    assert nll((labels + 1) % 3) > nll(labels) + 1


@pytest.fixture
def drawn(monkeypatch):
    """Arguments of the last figure that was drawn."""
    from vae_jax.cli import pictures

    given = {}
    for name in ("image_grid", "images_by_label", "reconstructions", "interpolations", "traversal"):
        draw = getattr(pictures, name)
        keep = lambda *arrays, name=name, draw=draw: (given.update({name: arrays}), draw(*arrays))[1]
        monkeypatch.setattr(pictures, name, keep)
    return given


@pytest.mark.slow
def test_commands_draw_with_the_label_that_is_asked_for_and_each_test_image_with_its_own(here, drawn, capsys):
    model, params, _ = vae_jax.load("labels")
    sample = jax.jit(lambda key, label: vae_jax.sample(given(model, label), params, key))
    keys = jax.random.split(jax.random.key(0), 7)
    assert call("sample", "labels", "--count", 7) == 0
    images, labels = drawn["images_by_label"]
    assert images.shape == (3, 3, 6, 6, 1) and list(labels) == [0, 1, 2]
    for i in range(7):  # labels in turn, a row each; what is left of the last column is white
        np.testing.assert_allclose(images[i % 3, i // 3], sample(keys[i], i % 3), rtol=1e-5, atol=1e-6)
    assert (images[1:, 2] == 1).all()
    assert call("sample", "labels", "--count", 7, "--label", 1) == 0
    np.testing.assert_allclose(drawn["image_grid"][0][6], sample(keys[6], 1), rtol=1e-5, atol=1e-6)
    capsys.readouterr()
    assert call("sample", "labels", "--count", 5) == 0
    assert "the labels of the images are, row by row, 0 to 2, then from 0 again" in capsys.readouterr().err

    Image.fromarray(np.full((6, 6), 90, np.uint8)).save("mine.png")
    rebuild = jax.jit(lambda x, label: vae_jax.reconstruct(given(model, label), params, x))
    for words, labels in ((["4", "5"], [0, 1]), (["4", "mine.png", "--label", "2"], [2, 2])):  # image i is 80 + i
        assert call("reconstruct", "labels", *words) == 0
        originals, back = drawn["reconstructions"]
        for x, found, label in zip(originals, back, labels, strict=True):
            np.testing.assert_allclose(found, rebuild(x, label), rtol=1e-5, atol=1e-6)

    assert call("interpolate", "labels", 1, 4, "--steps", 3) == 0  # both of label 0
    line, _ = drawn["interpolations"]
    assert call("reconstruct", "labels", 1, 4) == 0
    np.testing.assert_allclose(line[0, [0, -1]], drawn["reconstructions"][1], rtol=1e-4, atol=1e-5)
    assert call("traverse", "labels", "--image", "mine.png", "--label", 1, "--steps", 3) == 0
    moved, kl, _ = drawn["traversal"]
    assert moved.shape == (3, 3, 6, 6, 1) and kl.shape == (3,) and (kl > 0).all()


@pytest.mark.slow
def test_exported_functions_and_the_page_take_the_label_too(here):
    assert call("export", "labels", "--output", "onnx") == 0
    functions = json.loads(Path("onnx/manifest.json").read_text())["functions"]
    assert [[t["name"] for t in functions[name]["inputs"]] for name in ("encoder", "decoder", "sampler")] == [
        ["x", "label"],
        ["z", "label"],
        ["noise", "label"],
    ]
    import onnxruntime

    session = onnxruntime.InferenceSession("onnx/decoder.onnx")
    z, labels = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.array([2, 0, 1, 1], np.int32)
    model, params, _ = vae_jax.load("labels")
    decode = jax.jit(jax.vmap(lambda z, label: mean_of(given(model, label).decode(params, z))))
    (found,) = session.run(None, {"z": z, "label": labels})
    np.testing.assert_allclose(found, decode(z, labels), rtol=1e-5, atol=1e-5)
    assert call("explore", "labels", "--export", "page.html") == 0
    text = Path("page.html").read_text()
    payload = json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.S)[1])
    assert payload["classes"] == 3 and payload["labels"] == [(80 + i) % 3 for i in range(20)]


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({"train_labels": None}, "train vae --condition labels", "--condition labels: data blobs.npz has no labels f"),
        (
            {"test_labels": None},
            "train vae --condition labels",
            "has no labels for its test images: give data with labels",
        ),
        ({"train_labels": np.full(80, -1)}, "train vae --condition labels", "labels that count from 0, .* got -1 to 2"),
        (
            {"train_labels": np.zeros(80, int), "test_labels": np.zeros(20, int)},
            "train vae --condition labels",
            "for 2 to 100,000 classes, got 0 to 0",
        ),
        (
            {"train_labels": np.full(80, 10**6)},
            "train vae --condition labels",
            "for 2 to 100,000 classes, got 0 to 1000",
        ),
        ({}, "train vq_vae --condition labels", "--condition labels: the model of vq_vae takes no labels"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(tmp_path, monkeypatch, capsys, changes, words, message):
    monkeypatch.chdir(tmp_path)
    write_blobs("blobs.npz", **changes)
    assert call(*words.split(), "--data", "blobs.npz", "--run-dir", "new") == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.startswith("error: ") and error.count("\n") == 1
    assert not Path("new").exists()


@pytest.mark.slow
def test_labels_that_a_run_does_not_have_are_refused_in_a_line(here, capsys):
    Image.fromarray(np.full((6, 6), 90, np.uint8)).save("mine.png")
    before = contents("labels")
    for words, message in (
        ("sample plain --label 1", "--label 1: the model of RUN plain takes no labels"),
        ("reconstruct plain 0 --label 0", "--label 0: the model of RUN plain takes no labels"),
        ("sample labels --label 3", "--label must be between 0 and 2, the labels of RUN labels, got 3"),
        ("sample labels --label -1", "--label must be at least 0, got -1"),
        (
            "reconstruct labels mine.png",
            "IMAGE mine.png: the model needs a label, and a picture file has none: give --lab",
        ),
        ("traverse labels --image mine.png", "--image mine.png: the model needs a label, and a picture file has none"),
        ("interpolate labels 0 1", "A 0 has label 2 and B 1 has label 0, but a path needs one label: give --label"),
        ("train vae --resume --run-dir plain --condition labels", "condition (the run: 'none', now: 'labels')"),
        ("train vae --resume --run-dir labels --condition none", "condition (the run: 'labels', now: 'none')"),
    ):
        assert call(*words.split()) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1, error
    assert contents("labels") == before


@pytest.mark.slow
def test_a_config_that_says_no_number_of_labels_is_refused(here, capsys):
    from vae_jax.checksums import write_recorded

    config = json.loads(Path("labels/config.json").read_text())
    for number in (None, 1, "3", 10**9):
        write_recorded(Path("labels"), "config.json", json.dumps(config | {"num_classes": number}))
        assert call("sample", "labels") == 2
        assert "config.json: num_classes must be a whole number from 2 to 100,000" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("beta_vae", "--network conv --channels 4 --seeds 2"),
        ("beta_vae", "--likelihood bernoulli --binarization static --microbatches 2"),
        ("autoencoder", ""),
    ],
)
def test_other_models_and_ways_of_training_take_labels(tmp_path, monkeypatch, recipe, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
    write_blobs("blobs.npz")
    assert call("train", recipe, *f"{LABELS} --epochs 2 {options}".split(), "--run-dir", "run") == 0
    losses = [row["validation/loss"] for row in lines_of("run/metrics.jsonl") if row.get("seed", 0) == 0]
    assert losses[1] < losses[0]
    assert isinstance(vae_jax.load("run")[0], Conditional)
