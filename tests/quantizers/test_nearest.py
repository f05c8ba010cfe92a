import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers._nearest import look_up, nearest_code, unit_vector

RNG = np.random.default_rng(0)


def search(zs, codebook):
    """Indices of the nearest codes, from differences in float64."""
    return ((zs[:, None].astype(np.float64) - codebook[None]) ** 2).sum(-1).argmin(1)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e5])
def test_the_nearest_code_is_found_however_far_all_are_from_the_origin(offset):
    codebook = (RNG.normal(size=(50, 8)) + offset).astype(np.float32)
    zs = (RNG.normal(size=(300, 8)) + offset).astype(np.float32)
    found = np.asarray(jax.jit(jax.vmap(nearest_code, (0, None)))(zs, codebook))
    expected = search(zs, codebook)
    gap = lambda index: ((zs.astype(np.float64) - codebook[index]) ** 2).sum(-1)
    # Only ties within the precision of float32 may differ.
    np.testing.assert_allclose(gap(found), gap(expected), rtol=1e-5)
    assert np.mean(found == expected) > 0.99
    # The expanded square has no digits left at the largest offset.
    expanded = (np.square(codebook).sum(1)[None] - 2 * zs @ codebook.T).argmin(1)
    assert (np.mean(expanded == expected) < 0.5) == (abs(offset) > 1e4)


def test_the_first_of_equal_codes_is_taken_and_bfloat16_is_promoted():
    codebook = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert nearest_code(jnp.asarray([0.9, 0.1]), codebook) == 0
    found = nearest_code(jnp.asarray([0.9, 0.1], jnp.bfloat16), codebook.astype(jnp.bfloat16))
    assert (found, found.dtype) == (0, jnp.int32)


def test_look_up_gives_the_row_or_nan():
    codebook = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(jax.vmap(look_up, (None, 0))(codebook, jnp.arange(3)), codebook)
    assert all(np.isnan(look_up(codebook, jnp.int32(i))).all() for i in (-1, 3, 1000))


def test_unit_vectors_have_length_1_and_zero_a_finite_gradient():
    zs = jnp.asarray(RNG.normal(size=(20, 5)) * 10.0 ** RNG.integers(-3, 6, (20, 1)), jnp.float32)
    np.testing.assert_allclose(np.linalg.norm(unit_vector(zs), axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(unit_vector(jnp.zeros(3)), np.zeros(3))
    assert np.isfinite(jax.jacobian(unit_vector)(jnp.zeros(3))).all()
