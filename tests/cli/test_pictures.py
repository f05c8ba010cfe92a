"""`vae-jax sample`, `reconstruct`, `interpolate`, `traverse`: the pictures are of what the library computes."""

from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import vae_jax
from cli.conftest import call
from vae_jax.cli import pictures

pytestmark = pytest.mark.slow


@pytest.fixture
def drawn(monkeypatch):
    """Records the arguments of each figure."""
    given = {}
    for name in ("image_grid", "reconstructions", "interpolations", "traversal"):
        draw = getattr(pictures, name)
        keep = lambda *arrays, name=name, draw=draw: (
            given.update({name: list(map(np.asarray, arrays))}),
            draw(*arrays),
        )[1]
        monkeypatch.setattr(pictures, name, keep)
    return given


def test_samples_are_the_librarys_and_have_a_seed(here, drawn, capsys):
    model, params, config = vae_jax.load("runs/vae")
    assert config["seeds"] == 1 and config["latent_dim"] == 3
    for seed in (0, 7):
        assert call("sample", "runs/vae", "--count", 5, "--random-seed", seed) == 0
        keys = jax.random.split(jax.random.key(seed), 5)
        expected = jax.vmap(lambda key: vae_jax.sample(model, params, key))(keys)
        np.testing.assert_allclose(drawn["image_grid"][0], expected, rtol=1e-5, atol=1e-6)
    # The second has a name of its own.
    assert capsys.readouterr().out.splitlines() == ["picture: sample.png", "picture: sample-2.png"]


def test_codes_are_sampled_by_their_prior(here, drawn):
    assert call("sample", "runs/codes", "--count", 3, "--output", "a/new/codes.png") == 0
    assert (here / "a/new/codes.png").is_file()
    assert drawn["image_grid"][0].shape == (3, 8, 8, 1)
    assert drawn["image_grid"][0].min() >= 0 and drawn["image_grid"][0].max() <= 1


def test_images_of_files_and_of_the_test_set_are_reconstructed(here, drawn, capsys):
    with np.load("blobs.npz") as data:
        image = data["test"][4]
    Image.fromarray(image).save("mine.png")
    assert call("reconstruct", "runs/autoencoder", 4, "mine.png") == 0
    originals, back = drawn["reconstructions"]
    model, params, _ = vae_jax.load("runs/autoencoder")
    # The file is the test image, and has bits of a draw of its own.
    assert np.mean(originals[0] != originals[1]) < 0.4
    np.testing.assert_allclose(back[1], vae_jax.reconstruct(model, params, originals[1]), rtol=1e-5, atol=1e-6)

    Image.fromarray(np.repeat(np.repeat(image, 4, 0), 2, 1)).save("large.png")
    assert call("reconstruct", "runs/autoencoder", "large.png") == 2
    assert "large.png must be of 8 x 8 pixels, got 16 x 32: give --resize" in capsys.readouterr().err
    assert call("reconstruct", "runs/autoencoder", "large.png", "--resize") == 0
    assert drawn["reconstructions"][0].shape == (1, 8, 8, 1)


def test_a_path_begins_and_ends_at_the_reconstructions(here, drawn):
    assert call("interpolate", "runs/vae", 0, 1, "--steps", 4, "--seed", 1) == 0
    line, circle = drawn["interpolations"]
    assert line.shape == circle.shape == (1, 4, 8, 8, 1)
    assert call("reconstruct", "runs/vae", 0, 1, "--seed", 1) == 0
    back = drawn["reconstructions"][1]
    for path in (line, circle):
        np.testing.assert_allclose(path[0, [0, -1]], back, rtol=1e-4, atol=1e-5)
    assert call("reconstruct", "runs/vae", 0, 1, "--seed", 0) == 0
    assert np.abs(drawn["reconstructions"][1] - back).max() > 1e-3


def test_a_traversal_passes_through_the_reconstruction(here, drawn):
    assert call("traverse", "runs/vae", "--image", 3, "--steps", 5) == 0
    images, kl, steps = drawn["traversal"]
    assert images.shape == (3, 5, 8, 8, 1) and kl.shape == (3,)
    np.testing.assert_allclose(steps, [-3, -1.5, 0, 1.5, 3])
    np.testing.assert_allclose(kl.sum(), vae_jax_rate(), rtol=1e-4)


def test_a_traversal_without_the_data_says_that_its_order_is_not_by_kl(here, drawn, capsys):
    with np.load("blobs.npz") as data:
        Image.fromarray(data["test"][4]).save("mine.png")
    assert call("traverse", "runs/autoencoder", "--image", "mine.png", "--steps", 3) == 0
    assert capsys.readouterr().err == ""  # it has no KL
    (here / "blobs.npz").unlink()
    assert call("traverse", "runs/vae", "--image", "mine.png", "--steps", 3) == 0
    assert "the data is missing, so the dimensions are not sorted by their KL" in capsys.readouterr().err
    assert drawn["traversal"][1].dtype == object  # None in the place of a KL


def test_a_bar_moves_on_a_terminal_and_nothing_is_said_in_a_pipe(here, capsys, monkeypatch):
    assert call("sample", "runs/vae", "--count", 2) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # so rich takes the stream for a terminal
    assert call("sample", "runs/vae", "--count", 2) == 0
    assert "drawing" in capsys.readouterr().err


def vae_jax_rate():
    from vae_jax.runs.folder import RunFolder

    summary = RunFolder(__import__("pathlib").Path("runs/vae")).summary()
    return next(m["rate"] for m in summary["models"] if m["seed"] == summary["shown_seed"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "runs/vae", "--count", 0], "--count must be at least 1, got 0"),
        (["sample", "runs/vae", "--seed", 9], "--seed must be one of the seeds of RUN runs/vae (0, 1), got 9"),
        (["sample", "runs/vae", "--weight", 4], "--weight chooses a model of a run with a grid of weights, and RUN"),
        (["sample", "runs/vae", "--output", "blobs.npz/a.png"], "--output blobs.npz/a.png cannot be written"),
        (["explore", "runs/vae", "--export", "blobs.npz/a.html"], "--export blobs.npz/a.html cannot be written"),
        (["compare", "runs/vae", "runs/codes", "--output", "blobs.npz/a.png"], "--output blobs.npz/a.png cannot be"),
        (["explore", "runs/vae", "--port", 70000], "--port must be at most 65,535, got 70000"),
        (["sample", "runs"], "RUN must be the folder of a run, got runs: it has no config.json"),
        (["reconstruct", "runs/vae"], "IMAGE: give at least one picture file"),
        (["reconstruct", "runs/vae", 99], "the number of a test image from 0 to 19, got 99"),
        (
            ["reconstruct", "runs/vae", "gone.png"],
            "IMAGE must be a picture file, or the number of a test image, got gone.png",
        ),
        (["interpolate", "runs/vae", 0, 99], "A or B must be a picture file, or the number of a test image"),
        (["traverse", "runs/vae", "--image", 99], "--image must be a picture file, or the number of a test image"),
        (["interpolate", "runs/vae", 0, 1, "--steps", 1], "--steps must be between 2 and 101, got 1"),
        (["traverse", "runs/codes"], "RUN runs/codes: a traversal needs a latent code that is one vector"),
        (["traverse", "runs/vae", "--span", -1], "--span must be a number above 0, got -1.0"),
    ],
)
def test_bad_input_is_told_in_a_line(here, capsys, words, message):
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_single_images_need_no_picture_file_to_be_writable(here, capsys, monkeypatch):
    monkeypatch.setattr(pictures, "new_file", lambda *_: pytest.fail("a picture is not written"))
    assert call("sample", "runs/vae", "--count", 2, "--files", "apart") == 0
    assert sorted(path.name for path in Path("apart").iterdir()) == ["0000.png", "0001.png"]
