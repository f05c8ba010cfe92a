import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.data import _pixels as pixels
from vae_jax.data import binarize, dequantize, scale, static_binarization

EVERY_BYTE = np.arange(256, dtype=np.uint8)


def test_scale_is_k_over_255():
    scaled = jax.jit(scale)(jax.random.key(0), EVERY_BYTE)
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(scaled, np.arange(256) / 255, rtol=1e-7)
    assert scaled[0] == 0
    assert scaled[255] == 1


def test_dequantize_stays_in_its_bin_and_is_uniform_there():
    count = 40_000
    draws = np.asarray(jax.jit(dequantize)(jax.random.key(1), np.tile(EVERY_BYTE, (count, 1))))
    assert draws.dtype == np.float32
    k = np.arange(256, dtype=np.float64)
    # Exact, for all 10 million draws: with 23-bit noise about one draw in 130,000 of the brightest bins would be at 1.
    assert (draws >= k / 256).all()
    assert (draws < (k + 1) / 256).all()
    fraction = draws.astype(np.float64) * 256 - k
    error = 5 / np.sqrt(12 * fraction.size)  # five standard errors of a uniform's mean: fails once in 1.7 million seeds
    assert abs(fraction.mean() - 0.5) < error
    np.testing.assert_allclose(fraction.var(), 1 / 12, rtol=1e-3)


def test_binarize_has_mean_k_over_255():
    count = 20_000
    draws = np.asarray(jax.jit(binarize)(jax.random.key(2), np.tile(EVERY_BYTE, (count, 1))))
    assert draws.dtype == np.float32
    assert set(np.unique(draws)) == {0.0, 1.0}
    p = EVERY_BYTE / 255
    # Five standard errors in each of 254 bins: fails once in about 6,800 seeds; the bins 0 and 255 must be exact.
    assert (np.abs(draws.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()


def test_binarize_rounds_k_over_255_to_the_nearest_multiple_of_2_to_the_minus_16(monkeypatch):
    every = jnp.arange(65536, dtype=jnp.uint16)
    monkeypatch.setattr(pixels, "_random_16_bits", lambda key, shape: jnp.broadcast_to(every[:, None], shape))
    ones = binarize(jax.random.key(0), np.tile(EVERY_BYTE, (65536, 1))).sum(0)
    np.testing.assert_array_equal(ones, [round(65536 * k / 255) for k in range(256)])


@pytest.mark.parametrize("transform", [dequantize, binarize])
def test_neighbors_are_drawn_independently_whatever_the_shape(transform):
    # Two neighbors share a random word: the covariance is within five standard errors for all 6 lags.
    transform = jax.jit(transform)
    draws = np.asarray(transform(jax.random.key(3), np.full((9_001, 7), 128, np.uint8)), np.float64).ravel()
    centered = draws - draws.mean()
    for lag in (1, 2, 3, 4, 7, 8):
        correlation = (centered[lag:] * centered[:-lag]).mean() / centered.var()
        assert abs(correlation) * np.sqrt(draws.size) < 5  # fails once in 1.7 million seeds
    for shape in ((), (1,), (0,), (3, 5, 1)):
        assert transform(jax.random.key(3), np.full(shape, 200, np.uint8)).shape == shape


def test_equal_keys_give_equal_draws_and_other_keys_other_draws():
    gray = np.full(1000, 128, np.uint8)
    for transform in (dequantize, binarize):
        first, again, other = (np.asarray(transform(jax.random.key(seed), gray)) for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first != other).any()


@pytest.mark.parametrize("transform", [scale, dequantize, binarize])
def test_floats_are_refused_so_that_nothing_is_scaled_twice(transform):
    with pytest.raises(TypeError, match=r"pixels: expected dtype uint8 \(0 to 255\), got float32"):
        transform(jax.random.key(0), jnp.zeros(3))
    with pytest.raises(
        TypeError, match=r"pixels must be one array, got a tuple of 2; .* models.Example\(images, labels\)"
    ):
        transform(jax.random.key(0), (np.zeros((2, 3), np.uint8), np.zeros(2, np.int32)))


def test_static_binarization_is_one_fixed_draw_with_mean_k_over_255():
    count = 20_000
    images = np.tile(EVERY_BYTE, (count, 1))
    binary = static_binarization(images, seed=7)
    assert binary.dtype == np.uint8
    assert set(np.unique(binary)) == {0, 255}
    np.testing.assert_array_equal(binary, static_binarization(images, seed=7))
    assert (binary != static_binarization(images, seed=8)).any()
    p = EVERY_BYTE / 255
    assert (np.abs(binary.mean(0) / 255 - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()  # fails once in 6,800 seeds
    assert np.packbits(static_binarization(np.full(64, 128, np.uint8), 0) > 0).tolist() == [
        104,
        162,
        164,
        108,
        176,
        227,
        191,
        225,
    ]
    for transform in (scale, binarize):  # both leave the bits as they are
        np.testing.assert_array_equal(transform(jax.random.key(0), binary[:10]), binary[:10] / 255)
    with pytest.raises(TypeError, match="images: expected dtype uint8"):
        static_binarization(images / 255, seed=7)
