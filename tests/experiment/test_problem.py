import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import init
from networks.programs import equations_of
from vae_jax.data import Images
from vae_jax.experiment import Settings, make_networks, make_problem, resolve

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
    draws = [first.pixels.prepare(jax.random.key(seed), first.train) for seed in (0, 1)]
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
    first, other = (np.asarray(found.pixels.prepare(jax.random.key(seed), found.train)) for seed in (0, 1))
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
def test_grey_pixels_reach_each_likelihood_as_it_needs_them(likelihood, levels, lowest, highest):
    found = problem(likelihood=likelihood, binarization="none")
    assert found.pixels.levels == levels
    pixels = np.asarray(found.pixels.prepare(jax.random.key(0), IMAGES.train))
    if levels == 256:  # noise of one level's width
        np.testing.assert_array_equal(np.floor(pixels * 256), IMAGES.train)
        assert np.unique(pixels * 256 % 1).size > 900
    else:
        np.testing.assert_allclose(pixels, IMAGES.train / 255, atol=1e-6)
    assert pixels.min() >= lowest
    assert pixels.max() <= highest


def test_the_decoder_starts_at_the_mean_training_image():
    found = problem()
    settings = resolve(Settings(batch_size=8, validation_size=10, hidden=(6,), latent_dim=3), IMAGES)
    _, decoder = make_networks(settings, found, 6)
    params = init(decoder, jax.random.key(0))
    probability = 1 / (1 + np.exp(-np.asarray(params["output"]["bias"], np.float64)))
    np.testing.assert_allclose(probability, found.train.mean(axis=0).ravel() / 255, rtol=1e-4)


def test_networks_are_of_the_widths_and_the_code_that_were_asked_for():
    settings = resolve(Settings(batch_size=8, hidden=(7, 5), latent_dim=3), IMAGES)
    encoder, decoder = make_networks(settings, problem(), 6)
    encoder_params, decoder_params = (jax.eval_shape(n.init, jax.random.key(0)) for n in (encoder, decoder))
    assert [encoder_params[n]["kernel"].shape for n in ("hidden_0", "hidden_1", "output")] == [(16, 7), (7, 5), (5, 6)]
    assert [decoder_params[n]["kernel"].shape for n in ("hidden_0", "hidden_1", "output")] == [(3, 5), (5, 7), (7, 16)]
    settings = resolve(Settings(batch_size=8, network="conv", hidden=(9,), channels=(2, 3), latent_dim=3), IMAGES)
    encoder, decoder = make_networks(settings, problem(), 6)
    encoder_params, decoder_params = (jax.eval_shape(n.init, jax.random.key(0)) for n in (encoder, decoder))
    assert encoder_params["hidden"]["kernel"].shape == (3, 9)
    assert encoder_params["conv_1"]["kernel"].shape == (4, 4, 2, 3)
    assert decoder_params["output"]["kernel"].shape == (4, 4, 1, 2)


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_compute_in_the_precision_that_was_asked_for_and_again_where_told(network, precision, rematerialize):
    options = {"network": network, "precision": precision, "rematerialize": rematerialize}
    settings = resolve(Settings(batch_size=8, hidden=(6,), channels=(2,), latent_dim=3, **options), IMAGES)
    for part, shape in zip(make_networks(settings, problem(), 6), [(4, 4, 1), (3,)], strict=True):
        equations = equations_of(part.apply, jax.eval_shape(part.init, jax.random.key(0)), jnp.ones(shape))
        products = [equation for equation in equations if equation.primitive.name == "dot_general"]
        assert {var.aval.dtype for product in products for var in product.invars} == {jnp.dtype(precision)}
        assert any(equation.primitive.name == "remat2" for equation in equations) == rematerialize
