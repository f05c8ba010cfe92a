"""`--missing` and `--mask-file`: a model of images with missing pixels, from the command line and back."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import vae_jax
from cli.conftest import call
from runs.test_condition import write_blobs
from vae_jax.data import Images, fingerprint
from vae_jax.evaluation import impute_examples
from vae_jax.models import Conditional, Example
from vae_jax.runs import Settings
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.masks import hide_at_random, with_mask_file
from vae_jax.runs.images.problem import make_problem

SMALL = "--hidden 8 --latent-dim 3 --batch-size 10 --validation-size 12 --elbo-samples 2 --data blobs.npz"
RUN = f"{SMALL} --likelihood logistic --learning-rate 0.01 --epochs 2"


def blobs():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 5, 1)).astype(np.uint8)
    return Images("blobs", pixels[:50], None, pixels[50:], None, "")


def test_masks_are_always_the_same_and_held_out_with_their_images():
    images = hide_at_random(blobs(), 0.3)
    np.testing.assert_array_equal(images.train_mask, hide_at_random(blobs(), 0.3).train_mask)
    assert images.train_mask.shape == images.train.shape and 0.6 < images.train_mask.mean() < 0.8
    assert not np.array_equal(images.train_mask[:10], images.test_mask)
    assert len({fingerprint(data) for data in (blobs(), images, hide_at_random(blobs(), 0.5))}) == 3
    settings = Settings(missing=0.3, batch_size=8, validation_size=10, likelihood="logistic")
    problem = make_problem(resolve(settings, images), images)
    whole = np.concatenate([problem.train_examples.context, problem.validation_examples.context])
    assert problem.train_examples.context.shape == (40, 4, 5, 1)
    mask_of = {pixels.tobytes(): mask for pixels, mask in zip(images.train, images.train_mask, strict=True)}
    for pixels, mask in zip(np.concatenate([problem.train, problem.validation]), whole, strict=True):
        np.testing.assert_array_equal(mask, mask_of[pixels.tobytes()])
    np.testing.assert_array_equal(problem.test_examples.context, images.test_mask)
    seen = problem.train_contexts
    expected = np.sum(problem.train * 1.0, axis=0, where=seen) / seen.sum(0) / 255
    np.testing.assert_allclose(problem.mean_image, expected, rtol=1e-6)


def test_bad_shares_and_files_are_refused(tmp_path):
    images, path = blobs(), tmp_path / "masks.npz"
    with pytest.raises(ValueError, match=r"missing must be between 0 and 1, .*got 1"):
        hide_at_random(images, 1.0)
    good = {"train": np.ones((50, 4, 5, 1), bool), "test": np.ones((10, 4, 5))}
    np.savez(path, **good)
    assert with_mask_file(images, path).test_mask.all()
    for change, message in (
        ({"test": None}, "key 'test': expected a mask of the test images, got none"),
        ({"train": np.ones((50, 5, 4, 1))}, r"shape of the images, \(50, 4, 5, 1\), got \(50, 5, 4, 1\)"),
        ({"train": np.full((50, 4, 5, 1), "x")}, "expected booleans or numbers .*got dtype <U1"),
        ({"train": np.full((50, 4, 5, 1), np.nan)}, "got NaN"),
        ({"test": np.zeros((10, 4, 5))}, "key 'test': expected a mask with observed pixels, got 0"),
        ({"train": np.full((50, 4, 5, 1), None)}, "can be read without unpickling"),
    ):
        np.savez(path, **{name: mask for name, mask in (good | change).items() if mask is not None})
        with pytest.raises(ValueError, match=message):
            with_mask_file(images, path)
    path.write_bytes(b"no archive")
    np.save(tmp_path / "masks.npy", good["train"])
    for wrong in (path, tmp_path / "masks.npy"):
        with pytest.raises(ValueError, match=f"{re.escape(str(wrong))}: expected an .npz file of masks"):
            with_mask_file(images, wrong)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with blobs.npz, masks.npz and two finished runs: of hidden pixels, and of masks from a file."""
    folder = tmp_path_factory.mktemp("missing")
    write_blobs(folder / "blobs.npz")
    generator = np.random.default_rng(1)
    np.savez(folder / "masks.npz", train=generator.random((80, 6, 6)) > 0.2, test=generator.random((20, 6, 6, 1)) > 0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call("train", "vae", *RUN.split(), "--missing", 0.5, "--run-dir", "hidden") == 0
        patch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
        assert call("train", "vae", *RUN.split(), "--mask-file", "masks.npz", "--run-dir", "file") == 0
    return folder


@pytest.mark.slow
def test_the_folder_holds_the_model_and_the_figure_of_imputations(trained):
    config = json.loads((trained / "hidden/config.json").read_text())
    assert (config["missing"], config["mask_file"]) == (0.5, None)
    assert {path.name for path in (trained / "hidden/figures").glob("imputations*")} == {"imputations.png"}
    assert not (trained / "hidden/figures/interpolations.png").exists()
    model, params, _ = vae_jax.load(trained / "hidden")
    assert isinstance(model, Conditional)
    x = np.full((1, 6, 6, 1), 0.2, np.float32)
    filled = impute_examples(model, params, jax.random.key(0), Example(x, x * 0), 10).value
    assert np.isfinite(filled).all()
    card = (trained / "hidden/MODEL.md").read_text()
    program = re.search(r"```python\n(.*?)```", card, re.S)[1].replace('"RUN"', repr(str(trained / "hidden")))
    exec(program, variables := {})
    assert variables["image"].shape == (6, 6, 1)


@pytest.mark.slow
def test_commands_take_the_run_or_refuse_it_in_a_line(trained, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
    for command in (
        ("reconstruct", "file", "0", "3", "--output", "two.png"),
        ("sample", "hidden", "--count", "4", "--output", "drawn.png"),
        ("score", "hidden", "--output", "scores.csv"),
        ("encode", "hidden", "--output", "codes.csv"),
        ("report", "hidden"),
        ("evaluate", "hidden", "--nll-samples", "5", "--ais-images", "0"),
    ):
        assert call(*command) == 0, command
    assert "all pixels count as observed" in capsys.readouterr().err
    for command in (
        ("interpolate", "hidden", "0", "1"),
        ("traverse", "hidden"),
        ("explore", "hidden", "--export", "page.html"),
        ("export", "hidden"),
    ):
        assert call(*command) == 2
        assert "does not take a model of images with missing pixels" in capsys.readouterr().err
    for flags, message in (
        ("--missing 1.5", "--missing must be at most 1, got 1.5"),
        ("--missing 0.5 --mask-file masks.npz", "leave one out"),
        ("--missing 0.5 --objective optimal_variance --likelihood normal", "optimal_variance needs all pixels"),
        ("--missing 0.5 --condition labels", "a model takes labels or masks"),
        ("--missing 0.5 --prior vamp", "--prior vamp encodes pseudo-inputs"),
        ("--missing 0.5 --stream", "--stream reads images without masks"),
    ):
        assert call("train", "vae", *RUN.split(), *flags.split(), "--run-dir", "bad") == 2
        assert message in capsys.readouterr().err
    generator = np.random.default_rng(2)
    np.savez("masks.npz", train=generator.random((80, 6, 6)) > 0.2, test=generator.random((20, 6, 6, 1)) > 0.2)
    assert call("evaluate", "file", "--nll-samples", "0", "--ais-images", "0") == 2
    assert "changed" in capsys.readouterr().err
