import dataclasses

import jax
import numpy as np
import pytest

from vae_jax.data import Images
from vae_jax.runs import Settings
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.problem import make_problem

RNG = np.random.default_rng(0)
# Each image is its own, so that a split can be told apart from its pixels.
IMAGES = Images(
    "noise",
    RNG.integers(0, 256, (60, 4, 4, 1)).astype(np.uint8),
    None,
    RNG.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8),
    np.arange(20, dtype=np.int32),
    "",
)


def problem(images=IMAGES, **given):
    return make_problem(resolve(Settings(batch_size=8, validation_size=10, **given), images), images)


def as_set(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("seed", [0, 1])
def test_validation_is_held_out_of_train_and_nothing_is_lost(seed):
    found = problem(seed=seed)
    assert len(found.train) == 50
    assert len(found.validation) == 10
    assert as_set(found.train) & as_set(found.validation) == set()
    assert as_set(found.train) | as_set(found.validation) == as_set(IMAGES.train)


@pytest.mark.parametrize("binarization", ["static", "dynamic"])
def test_a_validation_split_of_the_datas_own_is_validated_on_and_all_of_train_is_trained_on(binarization):
    images = dataclasses.replace(IMAGES, validation=IMAGES.test[:7])
    settings = resolve(Settings(batch_size=8, binarization=binarization), images)
    found = make_problem(settings, images)
    assert (found.train.shape[0], found.validation.shape[0]) == (60, 7)
    if binarization == "static":
        assert {*np.unique(found.validation)} == {0, 255}
        assert abs(found.validation.mean() - images.validation.mean()) < 40
    else:
        np.testing.assert_array_equal(found.validation, images.validation)
        np.testing.assert_array_equal(found.train, images.train)


def test_the_split_is_one_random_split_for_every_seed():
    first, other = problem(seed=0), problem(seed=1)
    np.testing.assert_array_equal(first.validation, other.validation)
    np.testing.assert_array_equal(first.train, other.train)
    assert as_set(first.validation) != as_set(IMAGES.train[: len(first.validation)])


@pytest.mark.parametrize("binarization", ["static", "dynamic"])
def test_the_test_bits_are_drawn_once_for_every_seed(binarization):
    first, other = problem(seed=0, binarization=binarization), problem(seed=1, binarization=binarization)
    np.testing.assert_array_equal(first.test, other.test)
    assert set(np.unique(first.test)) == {0.0, 1.0}
    # Bits of these pixels: their mean error has standard deviation below 0.5 / sqrt(320) = 0.028.
    assert abs(float(np.mean(np.asarray(first.test) - IMAGES.test / 255.0))) < 0.1
    np.testing.assert_array_equal(first.test_labels, np.arange(20))


def test_static_bits_are_the_same_in_every_step_and_for_every_seed():
    first, other = problem(seed=0, binarization="static"), problem(seed=1, binarization="static")
    assert set(np.unique(first.train)) == {0, 255}
    assert as_set(first.train) | as_set(first.validation) == as_set(other.train) | as_set(other.validation)
    draws = [first.prepare(jax.random.key(seed), first.train) for seed in (0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], first.train / 255)


def test_train_and_test_bits_come_from_different_uniforms():
    same = dataclasses.replace(IMAGES, test=IMAGES.train, test_labels=None)
    found = problem(same, binarization="static")
    bits = as_set(found.train) | as_set(found.validation)
    assert bits.isdisjoint({(np.asarray(image) * 255).astype(np.uint8).tobytes() for image in found.test})


def test_dynamic_bits_are_drawn_anew_with_every_key():
    found = problem(binarization="dynamic")
    np.testing.assert_array_equal(as_set(found.train) <= as_set(IMAGES.train), True)  # kept as 8-bit pixels
    first, other = (np.asarray(found.prepare(jax.random.key(seed), found.train)) for seed in (0, 1))
    # Two draws of a pixel of intensity p differ with probability 2 p (1 - p), a third on average over uniform p.
    np.testing.assert_allclose((first != other).mean(), 1 / 3, atol=0.07)  # 4 standard errors of 800 pixels


@pytest.mark.parametrize(
    ("likelihood", "levels", "lowest", "highest"),
    [
        ("bernoulli", None, 0.0, 1.0),
        ("continuous_bernoulli", None, 0.0, 1.0),
        ("logistic", 1, 0.0, 1.0),
        ("normal", 256, 0.0, 1.0),
        ("laplace", 256, 0.0, 1.0),
    ],
)
def test_gray_pixels_reach_each_likelihood_as_it_needs_them(likelihood, levels, lowest, highest):
    found = problem(likelihood=likelihood, binarization="none")
    assert found.likelihood.levels == levels
    pixels = np.asarray(found.prepare(jax.random.key(0), IMAGES.train))
    if levels == 256:  # noise of one level's width
        np.testing.assert_array_equal(np.floor(pixels * 256), IMAGES.train)
        assert np.unique(pixels * 256 % 1).size > 900
    else:
        np.testing.assert_allclose(pixels, IMAGES.train / 255, atol=1e-6)
    assert pixels.min() >= lowest
    assert pixels.max() <= highest
