"""`vae-jax encode` and `score`: a row for each example, of what the library computes for it."""

import csv
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import vae_jax
from cli.conftest import SMALL, call
from training.subprocesses import finish, free_port, start
from vae_jax.data import binarize, dequantize, load_images, scale
from vae_jax.distributions import kl_divergence
from vae_jax.evaluation import encode_sequences, importance_sampling, measure_vq_vae
from vae_jax.models import Example
from vae_jax.runs import RunFolder
from vae_jax.runs.loading import load_run, preprocessing

pytestmark = pytest.mark.slow
NAMES = [f"train:{i}" for i in range(80)] + [f"test:{i}" for i in range(20)]
LABELS = np.arange(100) % 3
PIXELS_KEY, COMPUTING_KEY = jax.random.split(jax.random.key(0))


def rows(path):
    """Columns of a file of rows, vectors as arrays `[N, D]`."""
    if path.endswith(".npz"):
        with np.load(path) as archive:
            return dict(archive)
    if path.endswith(".parquet"):
        table = parquet.read_table(path)
        return {name: np.array(table[name].to_pylist()) for name in table.column_names}
    with open(path, newline="") as file:
        header, *lines = csv.reader(file)
    columns = dict(zip(header, map(np.array, zip(*lines, strict=True)), strict=True))
    read = {name: values if name == "name" else values.astype(float) for name, values in columns.items()}
    for vector in ("mean", "std", "code"):
        parts = [read.pop(name) for name in header if name.startswith(f"{vector}_")]
        if parts:
            read["codes" if vector == "code" else vector] = np.stack(parts, 1)
    return read


def seen():
    """All blobs as the model of a run sees them, by the documented keys."""
    images = load_images("blobs.npz")
    pixels = jnp.asarray(np.concatenate([images.train, images.test]))
    keys = jax.vmap(lambda i: jax.random.fold_in(PIXELS_KEY, i))(jnp.arange(100))
    return jax.jit(jax.vmap(binarize))(keys, pixels)


def close(found, expected, name):
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5, err_msg=name)


def test_codes_are_the_librarys_in_each_format_and_batch_size(here, capsys):
    model, params, _ = vae_jax.load("runs/vae")
    posterior = jax.vmap(lambda x: vae_jax.encode(model, params, x))(seen())
    kl = jax.vmap(lambda x: kl_divergence(model.encode(params, x), model.prior(params)))(seen())
    for name, size in (("a/codes.npz", 100), ("codes.csv", 7), ("codes.parquet", 64)):
        capsys.readouterr()
        assert call("encode", "runs/vae", "--output", name, "--batch-size", size) == 0
        out, err = capsys.readouterr()
        assert out == f"codes: {name}, 100 rows\n"
        assert err.startswith("blobs.npz: 100 examples\n") and "encoding: image 100/100" in err
        found = rows(name)
        assert sorted(found) == ["kl", "label", "mean", "name", "std"]
        assert found["name"].tolist() == NAMES
        np.testing.assert_array_equal(found["label"], LABELS)
        for column, expected in {"mean": posterior.mean, "std": posterior.standard_deviation, "kl": kl}.items():
            close(found[column], expected, column)
    assert call("encode", "runs/vae", "--seed", 1) == 0
    assert np.abs(rows("codes.npz")["mean"] - posterior.mean).max() > 0.01  # of the other model
    assert not list(here.rglob("*.tmp"))


def test_scores_are_the_librarys_and_the_worst_come_first(here, capsys):
    model, params, _ = vae_jax.load("runs/vae")
    xs, (elbo_key, nll_key) = seen(), jax.random.split(COMPUTING_KEY)
    assert call("score", "runs/vae", "--elbo-samples", 2, "--nll-samples", 9) == 0
    assert "warning: " in capsys.readouterr().err  # nine samples have no tail
    found = rows("scores.csv")
    assert list(found) == ["name", "label", "elbo", "log_likelihood", "effective_sample_size", "distortion", "mse"]
    assert found["name"].tolist() == NAMES

    @jax.jit
    @jax.vmap
    def expected(i, x):
        keys = jax.random.split(jax.random.fold_in(elbo_key, i), 2)
        terms = jax.vmap(lambda k: vae_jax.elbo_terms(model, params, k, x))(keys)
        error = jnp.mean((vae_jax.reconstruct(model, params, x) - x) ** 2)
        return jnp.mean(terms.log_likelihood - terms.kl), -jnp.mean(terms.log_likelihood), error

    for name, values in zip(("elbo", "distortion", "mse"), expected(jnp.arange(100), xs), strict=True):
        close(found[name], values, name)
    sampled = importance_sampling(model, params, nll_key, xs, 9)
    close(found["log_likelihood"], sampled.log_likelihood, "log_likelihood")
    close(found["effective_sample_size"], sampled.effective_sample_size, "effective_sample_size")

    assert call("score", "runs/vae", "--elbo-samples", 2, "--sort", "--batch-size", 33, "--output", "s.parquet") == 0
    ordered, order = rows("s.parquet"), np.argsort(found["elbo"])
    assert (np.diff(ordered["elbo"]) >= 0).all() and "log_likelihood" not in ordered
    by_name = dict(zip(found["name"], found["elbo"], strict=True))
    close(ordered["elbo"], [by_name[name] for name in ordered["name"]], "elbo")
    close(ordered["elbo"], found["elbo"][order], "elbo")


def test_the_files_of_a_folder_are_sorted_by_what_the_model_has_for_a_score(here):
    for i, image in enumerate(load_images("blobs.npz").test[:6, ..., 0]):
        folder = here / "photos" / "ab"[i == 4]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    files = {f"photos/{'ab'[i == 4]}/{i}.png": i == 4 for i in range(6)}
    for run, column, sign in (("vae", "elbo", 1), ("autoencoder", "distortion", -1), ("codes", "elbo", 1)):
        assert call("score", f"runs/{run}", "photos", "--sort", "--output", f"{run}.csv") == 0
        found = rows(f"{run}.csv")
        assert dict(zip(found["name"], found["label"] == 1, strict=True)) == files, run
        assert (np.diff(sign * found[column]) >= 0).all()
    assert call("score", "runs/vae", "photos/a/2.png", "--output", "one.csv") == 0
    assert rows("one.csv")["name"].tolist() == ["photos/a/2.png"] and "label" not in rows("one.csv")


def test_an_autoencoder_and_codes_have_columns_of_their_own(here, capsys):
    xs = seen()
    model, params, _ = vae_jax.load("runs/autoencoder")
    assert call("encode", "runs/autoencoder", "--output", "a.npz") == 0
    found = rows("a.npz")
    assert set(found) == {"name", "label", "mean"}
    close(found["mean"], jax.vmap(lambda x: model.encode(params, x).mean)(xs), "mean")
    capsys.readouterr()
    assert call("score", "runs/autoencoder", "--output", "a.csv") == 0
    assert "RUN runs/autoencoder has no ELBO: the reconstruction error is the score" in capsys.readouterr().err
    assert list(rows("a.csv")) == ["name", "label", "distortion", "mse"]

    model, params, _ = vae_jax.load("runs/codes")
    assert call("encode", "runs/codes", "--output", "c.csv") == 0
    assert call("score", "runs/codes", "--output", "s.npz") == 0
    codes, scores = rows("c.csv"), rows("s.npz")
    np.testing.assert_array_equal(codes["codes"], encode_sequences(model, params, xs))
    summary = measure_vq_vae(model, params, jax.random.key(0), xs, 1, 0).summary
    close(np.mean(codes["kl"]), summary["rate"], "rate")
    close(np.mean(scores["elbo"]), -summary["negative_elbo"], "elbo")


def test_a_conditional_model_is_given_the_label_of_each_example(here, capsys):
    assert call("train", "vae", *SMALL.split(), "--condition", "labels", "--run-dir", "runs/labels") == 0
    model, params, _ = vae_jax.load("runs/labels")
    assert call("encode", "runs/labels", "--output", "a.npz") == 0
    expected = vae_jax.evaluation.encode_examples(model, params, Example(seen(), LABELS.astype(np.int32)))
    close(rows("a.npz")["mean"], expected.mean, "mean")
    Image.fromarray(load_images("blobs.npz").test[0, ..., 0]).save("photo.png")
    many = load_images("blobs.npz").test
    np.savez("many.npz", x=many, y=np.arange(20))
    capsys.readouterr()
    for words, message in (
        (
            ["photo.png"],
            "DATA photo.png has no labels, which the model of RUN runs/labels needs (--condition labels)",
        ),
        (["many.npz"], "DATA: 3 has label 3, and the model of RUN runs/labels takes the labels 0 to 2"),
    ):
        assert call("encode", "runs/labels", *words, "--output", "b.npz") == 2
        assert f"error: {message}\n" in capsys.readouterr().err
    assert not Path("b.npz").exists() and not list(here.glob(".*"))
    # Each image in a file of its own, with the label in its name.
    assert call("sample", "runs/labels", "--files", "drawn", "--count", 4) == 0
    assert capsys.readouterr().out == "pictures: drawn, 4 files\n"
    names = ["0000_label0.png", "0001_label1.png", "0002_label2.png", "0003_label0.png"]
    assert sorted(path.name for path in Path("drawn").iterdir()) == names


def test_single_pictures_are_the_samples_of_the_library(here):
    assert call("sample", "runs/vae", "--files", "new/drawn", "--count", 3, "--random-seed", 5) == 0
    model, params, _ = vae_jax.load("runs/vae")
    images = jax.vmap(lambda key: vae_jax.sample(model, params, key))(jax.random.split(jax.random.key(5), 3))
    assert sorted(path.name for path in Path("new/drawn").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    for i, image in enumerate(images):
        pixels = np.asarray(Image.open(f"new/drawn/{i:04d}.png"))
        assert pixels.shape == (8, 8) and np.abs(pixels - 255.0 * image[..., 0]).max() <= 0.51
    # They are a folder that --data takes.
    assert call("encode", "runs/vae", "new/drawn", "--output", "c.npz") == 0


def test_images_reach_the_model_as_in_its_training(here):
    loaded, key = load_run(Path("runs/vae")), jax.random.key(1)
    pixels = load_images("blobs.npz").test[0]
    for settings, expected in (
        ({"binarization": "dynamic"}, binarize),
        ({"binarization": "static"}, binarize),  # bits, as in training, and not gray
        ({"binarization": "none"}, scale),
        ({"binarization": "none", "likelihood": "normal"}, dequantize),
    ):
        own = loaded._replace(settings=dataclasses.replace(loaded.settings, **settings))
        np.testing.assert_array_equal(preprocessing(own)(key, pixels), expected(key, pixels))


def test_an_unfinished_run_is_used_and_said(here, capsys):
    RunFolder(Path("runs/vae")).remove_summary()
    assert call("encode", "runs/vae") == 0
    assert "RUN runs/vae has not finished: its best epoch of the 2 so far is used" in capsys.readouterr().err


def test_what_cannot_be_is_told_in_a_line_and_leaves_nothing(here, capsys):
    folder = here / "photos"
    folder.mkdir()
    for i, side in enumerate((8, 8, 9)):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, side)).astype(np.uint8)).save(folder / f"{i}.png")
    whole = (folder / "0.png").read_bytes()
    (here / "half").mkdir()
    (here / "half/a.png").write_bytes(whole)
    (here / "half/b.png").write_bytes(whole[: len(whole) - 30])
    (here / "there.csv").write_text("mine")
    before = sorted(path.as_posix() for path in here.rglob("*"))
    for words, message in (
        (["encode", "runs/vae", "--output", "x.txt"], "--output must end in .csv, .npz, .parquet, got x.txt"),
        (["encode", "runs/vae", "--output", "there.csv"], "--output there.csv exists already: give another path"),
        (["encode", "runs/vae", "--output", "there.csv/x.npz"], "--output there.csv/x.npz cannot be written"),
        (["score", "runs/none"], "RUN must be the folder of a run, got runs/none"),
        (["score", "runs/vae", "--batch-size", 0], "--batch-size must be at least 1, got 0"),
        (["score", "runs/vae", "--elbo-samples", 0], "--elbo-samples must be at least 1, got 0"),
        (["score", "runs/vae", "--nll-samples", -1], "--nll-samples must be at least 0, got -1"),
        (
            ["score", "runs/autoencoder", "--nll-samples", 5],
            "--nll-samples 5: the posterior of RUN runs/autoencoder has",
        ),
        (
            ["score", "runs/codes", "--nll-samples", 5],
            "--nll-samples 5: the encoder of RUN runs/codes gives discrete codes without randomness",
        ),
        (["encode", "runs/vae", "photos"], "DATA photos/2.png must be of 8 x 8 pixels, got 9 x 8: give --resize"),
        (
            ["encode", "runs/vae", "digits"],
            "DATA digits must hold images of 8 x 8 x 1 (height x width x channels), got 28 x 28 x 1",
        ),
        (["encode", "runs/vae", "digits", "--data-dir", "there"], "--data-dir is for TFDS datasets, and digits is not"),
        (["encode", "runs/vae", "gone.png"], "DATA gone.png: expected an image file that can be read"),
        (["encode", "runs/vae", "half"], "half/b.png: cannot be used as an image"),
        (
            ["encode", "runs/vae", "--num-processes", 2],
            "--coordinator, --num-processes and --process-id must be given together",
        ),
        (["sample", "runs/vae", "--files", "photos"], "--files must be a new or empty folder, got photos"),
        (["sample", "runs/vae", "--files", "a", "--output", "a.png"], "give one of the two flags"),
    ):
        capsys.readouterr()
        assert call(*words) == 2, words
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and message in errors[0] and not out, (words, err)
        assert errors[0] == err.splitlines()[-1]
    Path("blobs.npz").rename("moved.npz")
    assert call("encode", "runs/vae") == 2
    assert "RUN runs/vae was made with --data blobs.npz, which cannot be loaded here" in capsys.readouterr().err
    Path("moved.npz").rename("blobs.npz")
    assert sorted(path.as_posix() for path in here.rglob("*")) == before
    assert call("encode", "runs/vae", "photos", "--resize", "--output", "x.csv") == 0
    assert "photos: 3 examples; 1 images resized and cropped to 8 x 8" in capsys.readouterr().err


def test_two_processes_write_the_halves_of_what_one_writes(here):
    assert call("encode", "runs/vae", "--output", "whole.csv") == 0
    words = ["encode", "runs/vae", "--output", "codes.csv", "--coordinator", f"localhost:{free_port()}"]
    both = [
        start("-m", "vae_jax.cli", *words, "--num-processes", 2, "--process-id", index, cwd=here) for index in range(2)
    ]
    outputs = [finish(process) for process in both]
    assert [code for _, code in outputs] == [0, 0], outputs
    assert all(f"codes: codes-{i}-of-2.csv, 50 rows" in outputs[i][0] for i in range(2))
    parts, whole = [rows(f"codes-{i}-of-2.csv") for i in range(2)], rows("whole.csv")
    for name, values in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        if name == "name":
            assert joined.tolist() == values.tolist()
        else:
            close(joined, values, name)


@pytest.mark.parametrize("command", ["encode", "score"])
def test_data_of_the_run_that_have_changed_are_refused(here, capsys, command):
    with np.load("blobs.npz") as archive:
        np.savez("blobs.npz", **{name: values[::-1] for name, values in archive.items()})
    assert call(command, "runs/vae") == 2
    assert "RUN runs/vae was made with other data: --data blobs.npz has changed since" in capsys.readouterr().err
    assert not list(Path().glob("*.csv")) and not list(Path().glob("codes*"))
    # As data of the user's own they are taken.
    assert call(command, "runs/vae", "blobs.npz", "--output", "own.csv") == 0
