"""The recipe `semi_supervised`: few labels of the training images, none of the validation images, a test error."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from cli.conftest import call
from fresh import some_params
from vae_jax.data import Images, hide_labels
from vae_jax.evaluation import classifier_posteriors
from vae_jax.models import Conditional
from vae_jax.networks import mlp_encoder
from vae_jax.objectives import LabelWeights, semi_supervised_loss
from vae_jax.runs import SEMI_SUPERVISED, LabelSettings
from vae_jax.runs.images.semi_supervised import make_few_labels, resolve
from vae_jax.training import Examples

SMALL = "--hidden 8 --latent-dim 2 --classifier-hidden 8 --labels-per-class 2 --labels-per-batch 4 --batch-size 10"
COMMAND = f"train semi_supervised --data blobs.npz {SMALL} --validation-size 12 --elbo-samples 2 --alpha 2"


def write_blobs(path="blobs.npz", **changes):
    """Dark and bright images of 6 x 6, of three labels that say how bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    images = (rng.integers(0, 20, (200, 6, 6)) + 80 * labels[:, None, None]).astype(np.uint8)
    arrays = {"train": images[:150], "test": images[150:], "train_labels": labels[:150], "test_labels": labels[150:]}
    np.savez(path, **(arrays | changes))


def test_hidden_labels_leave_as_many_of_each_class_as_are_asked_for():
    labels = np.random.default_rng(0).integers(0, 4, 200)
    shown = hide_labels(labels, 3, 5)
    np.testing.assert_array_equal(np.bincount(shown[shown >= 0]), [3] * 4)
    np.testing.assert_array_equal(shown[shown >= 0], labels[shown >= 0])
    assert (hide_labels(labels, 3, 5) == shown).all() and (hide_labels(labels, 3, 6) != shown).any()
    for bad, per_class, error, message in (
        (labels, 0, ValueError, "per_class must be at least 1, got 0"),
        (np.array([0, 0, 2]), 1, ValueError, "number of examples of each class, got 1, but class 1 has 0"),
        (np.array([-1, 0]), 1, ValueError, "labels must be at least 0, got -1"),
        (
            np.array([0.0, 1.0]),
            1,
            TypeError,
            r"labels must hold integers \[N\], got an array of shape \(2,\) and dtype",
        ),
    ):
        with pytest.raises(error, match=message):
            hide_labels(bad, per_class, 0)


def test_the_posteriors_of_a_classifier_are_those_of_each_example():
    network = mlp_encoder((4,), 3, (5,))
    params, xs = network.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 4))
    found = classifier_posteriors(network.apply, params, xs, batch_size=3)
    logits = np.asarray([network.apply(params, x) for x in xs], float)
    np.testing.assert_allclose(found, logits - np.log(np.exp(logits).sum(1, keepdims=True)), rtol=1e-5)
    with pytest.raises(TypeError, match="raw uint8 pixels"):
        classifier_posteriors(network.apply, params, np.zeros((2, 4), np.uint8))


def test_labeled_images_come_first_and_are_a_fixed_part_of_every_batch():
    labels = np.arange(60, dtype=np.int32) % 3
    said = np.broadcast_to(np.arange(60)[:, None, None, None], (60, 4, 4, 1)).astype(np.uint8)
    data = Images("said", said, labels, said[:3], labels[:3], "")
    given = LabelSettings(
        labels_per_class=2, labels_per_batch=3, batch_size=8, validation_size=10, likelihood="logistic"
    )
    settings = resolve(given, data)
    problem = make_few_labels(settings, data)
    examples = problem.train_examples
    assert isinstance(examples, Examples) and examples.count == 50
    places, shown = examples.data.x[:, 0, 0, 0].astype(int), examples.data.context
    assert (shown[:6] == labels[places[:6]]).all() and (shown[6:] == -1).all()
    np.testing.assert_array_equal(np.sort(shown[:6]), [0, 0, 1, 1, 2, 2])
    assert (problem.validation_examples.context == -1).all() and len(problem.validation) == 10
    np.testing.assert_array_equal(problem.test_examples.context, labels[:3])
    batches = np.asarray(examples.order(jax.random.key(0), 0, 6, 50, 8))
    assert ((batches < 6).sum(axis=1) == 3).all()
    other = make_few_labels(dataclasses.replace(settings, labels_seed=1), data)
    assert set(other.train[:6, 0, 0, 0]) != set(problem.train[:6, 0, 0, 0])
    # 6 of 50 images have a label, and 3 of the 8 of a batch: alpha is 50 / 6 for each.
    model = SEMI_SUPERVISED.model(settings, problem)
    classify = mlp_encoder((4, 4, 1), 3, (500,), jax.nn.softplus).apply
    weights = LabelWeights(6 / 50 * 8 / 3, 44 / 50 * 8 / 5)
    params, key = some_params(model), jax.random.key(1)
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[batches[0]]), examples.data)
    batch = batch._replace(x=batch.x / 255.0)
    loss = lambda objective: jax.jit(lambda batch: objective(model, params, key, batch)[0])(batch)
    expected = loss(semi_supervised_loss(classify, 50 / 6, weights))
    np.testing.assert_allclose(loss(SEMI_SUPERVISED.objective(settings, problem, model, 1, None)), expected, rtol=1e-6)

    initial = jax.jit(model.init)(key)  # encoder and decoder ignore the label at first, and nothing else
    for name in ("encoder", "decoder"):
        kernel = np.asarray(initial[name]["hidden_0"]["kernel"])
        assert 0.008 < kernel[-3:].std() / kernel[:-3].std() < 0.012


@pytest.mark.slow
def test_a_run_with_few_labels_measures_its_classifier_and_comes_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
    write_blobs()
    assert (
        call(*COMMAND.split(), "--likelihood", "logistic", "--learning-rate", 0.01, "--epochs", 8, "--run-dir", "run")
        == 0
    )
    summary = json.loads(capsys.readouterr().out)
    model, params, config = vae_jax.load("run")
    assert isinstance(model, Conditional) and config["experiment"] == "semi_supervised"
    with np.load("blobs.npz") as arrays:
        images = vae_jax.data.scale(jax.random.key(0), arrays["test"][..., None])
        classifier = mlp_encoder((6, 6, 1), 3, (8,), jax.nn.softplus)
        posteriors = classifier_posteriors(classifier.apply, params["classifier"], images)
        error = np.mean(np.argmax(posteriors, axis=1) != arrays["test_labels"])
    np.testing.assert_allclose(summary["test_error"], 100 * error, rtol=1e-5)
    assert summary["test_error"] <= 10  # 67 by chance
    assert "test error of the classifier" in Path("run/report.html").read_text().lower()
    for words in ("sample run --label 1 --count 2", "encode run --output codes.npz", "score run --output scores.csv"):
        assert call(*words.split()) == 0, words
    capsys.readouterr()
    for words, message in (
        (f"{COMMAND} --labels-per-class 46", "--labels-per-class must be at most the number of examples of each class"),
        (f"{COMMAND} --batch-size 4", "--labels-per-batch must be below --batch-size 4, so that there is room for im"),
        (f"{COMMAND} --alpha -1", "--alpha must be at least 0, got -1"),
        (f"{COMMAND} --condition none", "--condition must be labels for semi_supervised"),
        (f"{COMMAND} --stream", "--stream reads images without their labels"),
        ("train semi_supervised --data none.npz", "none.npz"),
    ):
        assert call(*words.split(), "--run-dir", "new") == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1, error
    write_blobs(train_labels=np.arange(150) % 2 * 2)
    assert call(*COMMAND.split(), "--run-dir", "new") == 2
    assert re.search("of each class, got 2, but class 1 has 0", capsys.readouterr().err)
