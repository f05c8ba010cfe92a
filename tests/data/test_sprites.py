"""Rendered sprites against an independent float64 rendering of the same outlines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.path import Path

from vae_jax.data import sprites
from vae_jax.data.sprites import FACTOR_SIZES, NUM_IMAGES


def signed_distance(index):
    """Approximate distance of each pixel's center from the outline, positive inside, `[64, 64]`; heart: only +-1."""
    shape, scale, orientation, x, y = np.unravel_index(index, FACTOR_SIZES)
    t, s = np.linspace(0, 2 * np.pi, 40)[orientation], np.linspace(0.5, 1, 6)[scale]
    centers = np.arange(64) + 0.5
    dx, dy = np.meshgrid(centers - 16 - 32 * np.linspace(0, 1, 32)[x], centers - 16 - 32 * np.linspace(0, 1, 32)[y])
    u, v = (np.cos(t) * dx - np.sin(t) * dy) / s, (np.sin(t) * dx + np.cos(t) * dy) / s
    if shape == 0:
        return 9.6 - np.maximum(np.abs(u), np.abs(v))
    if shape == 1:
        return 1 - (u / 12.76) ** 2 - (v / 7.22) ** 2
    a = np.linspace(0, 2 * np.pi, 4_001)
    curve = np.stack(
        [
            9.6 * np.sin(a) ** 3,
            -0.6625 * (13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)) - 1.45,
        ],
        1,
    )
    inside = Path(curve).contains_points(np.stack([u.ravel(), v.ravel()], 1)).reshape(64, 64)
    return np.where(inside, 1.0, -1.0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0, 1, 2])
def test_images_are_their_outlines(shape):
    rng = np.random.default_rng(shape)
    indices = shape * NUM_IMAGES // 3 + rng.integers(0, NUM_IMAGES // 3, 40)
    images = np.asarray(jax.jit(jax.vmap(sprites.render))(indices))
    assert images.dtype == np.uint8 and images.shape == (40, 64, 64)
    wrong = 0
    for index, image in zip(indices, images, strict=True):
        distance = signed_distance(index)
        # On the line itself float32 and float64 may differ.
        wrong += int(((image == 1) != (distance > 0))[np.abs(distance) > 1e-5].sum())
    assert wrong <= (2 if shape == 2 else 0)  # a polygon of 4,000 points is not quite the heart


def test_area_grows_with_the_square_of_the_scale_and_is_the_outline_s():
    # 4 * 9.6^2 for the square, pi * 12.76 * 7.22 for the ellipse; a sum over 40 angles and some places.
    for shape, area in ((0, 4 * 9.6**2), (1, np.pi * 12.76 * 7.22)):
        for scale in (0.5, 0.75, 1.0):
            image = lambda t, s=shape, k=scale: sprites.render_factors(s, k, t, 0.5 + t / 100, 0.5 - t / 77)
            drawn = jax.jit(jax.vmap(image))(jnp.linspace(0, 6, 200)).astype(jnp.float32).sum((1, 2)).mean()
            np.testing.assert_allclose(drawn, area * scale**2, rtol=0.01)


def test_the_last_angle_is_the_first_and_no_other_two_images_of_a_heart_are_alike():
    hearts = 2 * NUM_IMAGES // 3 + 5 * 40 * 32 * 32 + np.arange(40) * 32 * 32 + 16 * 32 + 16
    images = np.asarray(jax.vmap(sprites.render)(hearts))
    np.testing.assert_array_equal(images[39], images[0])
    assert len(np.unique(images.reshape(40, -1), axis=0)) == 39


def test_position_y_is_fastest_and_moves_down():
    first, second = (np.argwhere(np.asarray(sprites.render(i))).mean(0) for i in (0, 31))
    np.testing.assert_allclose(second - first, [32, 0], atol=0.1)
    right = np.argwhere(np.asarray(sprites.render(31 * 32))).mean(0)
    np.testing.assert_allclose(right - first, [0, 32], atol=0.1)


def test_factors_out_of_range_are_refused():
    for index in (-1, NUM_IMAGES):
        with pytest.raises(ValueError, match="index must be between 0 and 737279, got values from"):
            sprites.render(index)
    with pytest.raises(TypeError, match="index must be whole numbers, got float"):
        sprites.render(1.5)
    with pytest.raises(ValueError, match=r"position_x must be between 0 and 1, got 1\.5"):
        sprites.render_factors(0, 1.0, 0.0, 1.5, 0.5)
    with pytest.raises(ValueError, match="scale must be between"):
        sprites.render_factors(0, 0.0, 0.0, 0.5, 0.5)
