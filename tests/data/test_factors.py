"""Data sets with known factors: indices, draws and pairs; color, noise, and squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.data import (
    FactorData,
    factors_of,
    index_of,
    load_factor_data,
    load_images,
    render_images,
    render_pairs,
    sprites,
    stream_images,
)

SIZES = (3, 2, 5, 4)


def numbered(table, key, index):
    """Image of two pixels: a value from the table and a random number."""
    return jnp.stack([table[index], jax.random.uniform(key)]).reshape(1, 2, 1)


DATA = FactorData("numbered", ("a", "b", "c", "d"), SIZES, (1, 2, 1), numbered, "numbers", jnp.arange(120.0))


def test_factors_and_index_are_row_major_and_inverse():
    indices = np.arange(DATA.num_images)
    factors = factors_of(indices, SIZES)
    np.testing.assert_array_equal(factors, np.unravel_index(indices, SIZES))
    np.testing.assert_array_equal(index_of(factors, SIZES), indices)
    with pytest.raises(ValueError, match=r"factors\[2\] must be between 0 and 4, got 5"):
        index_of(np.array([0, 0, 5, 0]), SIZES)
    with pytest.raises(ValueError, match="axis of 4 factors"):
        index_of(np.zeros(3, int), SIZES)


def test_draws_are_uniform_over_all_combinations_and_have_keys_of_their_own():
    images = np.asarray(jax.jit(FactorData.draw, static_argnums=2)(DATA, jax.random.key(0), 12_000))[:, 0, :, 0]
    counts = np.bincount(images[:, 0].astype(int), minlength=DATA.num_images)
    assert scipy.stats.chisquare(counts).pvalue > 1e-6
    assert len(np.unique(images[:, 1])) > 11_900


def test_images_at_indices_are_those_and_the_same_every_time():
    images = np.asarray(DATA.images(jax.random.key(0), np.array([7, 3, 7])))
    np.testing.assert_array_equal(images[:, 0, 0, 0], [7, 3, 7])
    np.testing.assert_array_equal(images[0], images[2])
    with pytest.raises(ValueError, match="indices must be between 0 and 119"):
        DATA.images(jax.random.key(0), np.array([0, 120]))


@pytest.mark.parametrize("num_changed", [1, 2, None])
def test_pairs_share_all_but_so_many_factors(num_changed):
    pairs = jax.jit(FactorData.draw_pairs, static_argnums=(2, 3))(DATA, jax.random.key(1), 6000, num_changed)
    indices = np.asarray(pairs)[:, :, 0, 0, 0].astype(int)
    factors = np.asarray(factors_of(indices, SIZES))
    differ = factors[:, :, 0] != factors[:, :, 1]
    assert differ.sum(0).max() == (num_changed or 3)
    # A factor with s values is redrawn with probability c / 4, and then differs with probability (s - 1) / s.
    mean_changed = num_changed or 2
    expected = mean_changed / 4 * (1 - 1 / np.array(SIZES))
    np.testing.assert_allclose(differ.mean(1), expected, atol=0.035)  # five standard errors of 6,000 pairs
    with pytest.raises(ValueError, match="num_changed must be between 1 and 3, of 4 factors, got 4"):
        DATA.draw_pairs(jax.random.key(0), 2, 4)


@pytest.mark.slow
def test_a_batch_and_pairs_begin_with_the_images_at_their_indices():
    indices = jnp.array([7, 3, 119, 7])
    batch = np.asarray(render_images(DATA.render, DATA.table, jax.random.key(0), indices))[:, 0, :, 0]
    np.testing.assert_array_equal(batch[:, 0], indices)
    assert len(np.unique(batch[:, 1])) == 4  # a key of its own for each
    pairs = render_pairs(DATA.render, SIZES, 1, DATA.table, jax.random.key(0), indices)
    assert pairs.shape == (4, 2, 1, 2, 1)
    np.testing.assert_array_equal(pairs[:, 0, 0, 0, 0], indices)


def test_a_data_set_is_a_pytree_of_its_table_alone():
    (table,), structure = jax.tree.flatten(DATA)
    assert table is DATA.table and jax.tree.unflatten(structure, [table]).factor_sizes == SIZES
    doubled = jax.tree.map(lambda leaf: 2 * leaf, DATA)
    images = jax.jit(lambda *arguments: FactorData.images(*arguments))  # has its own compilation cache
    for data, expected in ((DATA, 7), (doubled, 14)):
        assert images(data, jax.random.key(0), jnp.array([7]))[0, 0, 0, 0] == expected
    assert images._cache_size() == 1  # one program for both: the table is its argument
    assert not jax.tree.leaves(load_factor_data("sprites"))


@pytest.mark.slow
def test_color_and_noise_are_the_same_shapes_in_other_colors():
    plain, color, noisy = (load_factor_data(f"sprites{name}") for name in ("", "_color", "_noisy"))
    index = np.array([123_456, 654_321])
    shape = np.asarray(plain.images(jax.random.key(0), index))
    np.testing.assert_array_equal(shape[..., 0], jax.vmap(sprites.render)(index))
    colored = np.asarray(color.images(jax.random.key(0), index))
    for image, inside in zip(colored, shape[..., 0] > 0, strict=True):
        assert len(np.unique(image[inside], axis=0)) == 1 and (image[inside] >= 0.5).all()
        assert not image[~inside].any()
    gray = np.asarray(noisy.images(jax.random.key(0), index))
    assert (gray[shape[..., 0] > 0] == 1).all() and 0.45 < gray[shape[..., 0] == 0].mean() < 0.55


def test_distances_of_squares_do_not_depend_on_how_far_they_are_apart():
    squares = load_factor_data("squares")
    assert squares.num_images == 8**6
    factors = np.random.default_rng(0).integers(0, 8, (6, 40))
    images = np.asarray(squares.images(jax.random.key(0), index_of(factors, squares.factor_sizes)), np.float64)
    assert (images.sum((1, 2)) == 64).all()
    for i in range(0, 40, 2):
        moved = sum((factors[2 * c : 2 * c + 2, i] != factors[2 * c : 2 * c + 2, i + 1]).any() for c in range(3))
        assert ((images[i] - images[i + 1]) ** 2).sum() == 128 * moved


def test_sprites_are_a_stream_for_other_experiments_and_not_loaded_whole():
    stream = stream_images("sprites", most_test=20)
    assert stream.train.shape == (737_280 - 73_728, 64, 64, 1)
    batch = stream.train.read([0, 5, 600_000])
    assert batch.dtype == np.uint8 and set(np.unique(batch)) == {0, 255}
    assert stream.test.shape == (20, 64, 64, 1) and set(stream.test_labels) <= {0, 1, 2}
    with pytest.raises(ValueError, match="--stream"):
        load_images("sprites")
    with pytest.raises(
        ValueError, match=r"data must be a data set with known factors, one of sprites, .*, got 'mnist'"
    ):
        load_factor_data("mnist")
