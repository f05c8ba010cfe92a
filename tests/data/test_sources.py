import os

import numpy as np
import pytest

from vae_jax.data import hold_out, load_array_file, mean_image
from vae_jax.data._arrays import held_out
from vae_jax.data._sources import ArrayImages, BlackAndWhite, Excluding, NpyImages

GRAY = np.random.RandomState(0).randint(0, 256, (40, 3, 4, 1)).astype(np.uint8)
PLACES = np.array([39, 0, 7, 7, 12])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (GRAY, GRAY),
        (GRAY[..., 0], GRAY),
        (np.repeat(GRAY, 3, -1), np.repeat(GRAY, 3, -1)),
        (GRAY > 99, (GRAY > 99) * np.uint8(255)),
        ((GRAY / 255).astype(np.float16), GRAY),
        ((GRAY / 255).astype(">f8"), GRAY),
    ],
    ids=["gray", "without channel", "color", "bool", "float16", "big-endian float64"],
)
def test_an_npy_file_is_read_by_the_image_as_it_is_read_whole(tmp_path, stored, expected):
    np.save(tmp_path / "a.npy", stored)
    source = NpyImages(str(tmp_path / "a.npy"))
    assert source.shape == expected.shape
    found = source.read(PLACES)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected[PLACES])
    whole = load_array_file(str(tmp_path / "a.npy"))
    np.testing.assert_array_equal(Excluding(source, held_out(40, 4, 0)).read(range(36)), whole.train)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.asfortranarray(GRAY), ValueError, "got an array in Fortran order"),
        (GRAY.astype(int), TypeError, "expected pixels of dtype uint8"),
        (GRAY[0, 0], ValueError, r"expected images of shape \[N, H, W\]"),
        (GRAY[:0], ValueError, "expected at least one image"),
        (np.repeat(GRAY, 4, -1), ValueError, "expected 1 or 3 channels"),
        (np.array([GRAY, None], object), ValueError, "got dtype object, which would have to be unpickled"),
    ],
    ids=["Fortran", "int", "two axes", "empty", "four channels", "objects"],
)
def test_an_npy_file_that_cannot_be_streamed_is_refused_before_any_image_is_read(tmp_path, array, error, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(error, match=rf"a\.npy: .*{message}"):
        NpyImages(str(tmp_path / "a.npy"))


def test_a_missing_foreign_or_cut_npy_file_is_refused_also_when_it_is_cut_later(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(ValueError, match=r"a\.npy: expected an \.npy file, got a path with no file"):
        NpyImages(str(path))
    path.write_text("foreign")
    with pytest.raises(ValueError, match=r"a\.npy: expected a file written by numpy"):
        NpyImages(str(path))
    np.save(path, GRAY)
    source = NpyImages(str(path))
    os.truncate(path, path.stat().st_size - 5)
    np.testing.assert_array_equal(source.read([38]), GRAY[38:39])
    with pytest.raises(ValueError, match=r"a\.npy: image 39 is missing: the file has been cut short"):
        source.read([0, 39])
    with pytest.raises(ValueError, match=r"a\.npy: .* cut short"):
        NpyImages(str(path))


def test_floats_out_of_range_are_refused_at_the_image(tmp_path):
    floats = (GRAY / 255).astype(np.float32)
    floats[5] = 3.0
    np.save(tmp_path / "a.npy", floats)
    source = NpyImages(str(tmp_path / "a.npy"))
    np.testing.assert_array_equal(source.read([4, 6]), GRAY[[4, 6]])
    with pytest.raises(ValueError, match=r"a\.npy: expected floats in \[0, 1\]"):
        source.read([4, 5])


@pytest.mark.parametrize("places", [[], [0], [39], [0, 1, 2], [3, 17, 18, 38], [1, 39]], ids=str)
def test_excluding_equals_numpys_delete(places):
    source = Excluding(ArrayImages(GRAY), np.array(places, int))
    expected = np.delete(GRAY, places, axis=0)
    assert source.shape == expected.shape
    np.testing.assert_array_equal(source.read(np.arange(len(expected))), expected)
    np.testing.assert_array_equal(source.read(np.arange(len(expected))[::-1]), expected[::-1])
    twice = Excluding(source, np.array([0, 30]))
    np.testing.assert_array_equal(twice.read(range(len(expected) - 2)), np.delete(expected, [0, 30], axis=0))


@pytest.mark.parametrize("seed", [0, 5])
def test_what_is_held_out_is_what_an_experiment_holds_out_of_images_in_memory(seed):
    rest, held = hold_out(ArrayImages(GRAY), 10, seed)
    chosen = np.zeros(40, bool)
    chosen[np.random.RandomState(seed).permutation(40)[:10]] = True
    np.testing.assert_array_equal(held, GRAY[chosen])
    np.testing.assert_array_equal(rest.read(range(30)), GRAY[~chosen])


@pytest.mark.parametrize("count", [0, 40])
def test_holding_out_nothing_or_everything_is_refused(count):
    with pytest.raises(ValueError, match=f"count must be between 1 and 39 for 40 images, got {count}"):
        hold_out(ArrayImages(GRAY), count, 0)


def test_the_mean_image_is_the_mean_of_all_or_of_evenly_spaced_images():
    many = np.concatenate([GRAY] * 30)
    np.testing.assert_allclose(mean_image(ArrayImages(many)), many.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(mean_image(ArrayImages(GRAY), 10), GRAY[::4].mean(axis=0), rtol=1e-12)


def test_binary_pixels_are_expanded_and_a_later_gray_one_is_refused():
    binary = GRAY % 2
    source = BlackAndWhite(ArrayImages(binary), "bits")
    assert source.shape == GRAY.shape
    np.testing.assert_array_equal(source.read(PLACES), 255 * binary[PLACES])
    binary[12, 0, 0] = 9
    with pytest.raises(ValueError, match=r"bits: expected pixels of 0 and 1, .* got a pixel of 9"):
        source.read(PLACES)
