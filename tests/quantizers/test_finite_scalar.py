import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import finite_scalar_quantizer

LEVELS = [(2,), (3,), (2, 2), (8, 5, 5), (7, 4, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("levels", LEVELS)
def test_every_index_has_its_value_and_every_value_its_index(levels):
    quantizer = finite_scalar_quantizer(levels)
    size = math.prod(levels)
    assert quantizer.num_codes == (size,)
    values = np.asarray(jax.vmap(lambda i: quantizer.lookup({}, i))(jnp.arange(size, dtype=jnp.int32)[:, None]))
    # The grid of Mentzer et al.: integers from -floor(L / 2) on, over floor(L / 2); the first entry varies fastest.
    axes = [(np.arange(level) - level // 2) / (level // 2) for level in levels]
    grid = np.array(list(itertools.product(*axes[::-1])))[:, ::-1]
    np.testing.assert_allclose(values, grid, atol=1e-7)
    # The z that f maps to that value, by the inverse in float64.
    counts = np.asarray(levels)
    offset = np.where(counts % 2 == 0, 0.5, 0.0)
    width = (counts - 1) * 1.001 / 2
    shift = np.where(counts == 2, 0, np.arctanh(offset / width))
    zs = np.arctanh(np.clip((grid * (counts // 2) + offset) / width, -0.99999, 0.99999)) - shift
    out = jax.vmap(lambda z: quantizer.quantize({}, z))(jnp.asarray(zs, jnp.float32))
    np.testing.assert_array_equal(out.indices[:, 0], np.arange(size))
    np.testing.assert_array_equal(out.value, values)


@pytest.mark.parametrize("levels", LEVELS)
def test_the_outermost_levels_are_reached_and_not_exceeded(levels):
    quantizer = finite_scalar_quantizer(levels)
    low, high = (quantizer.quantize({}, jnp.full(len(levels), z)).value for z in (-1e4, 1e4))
    counts = np.asarray(levels)
    np.testing.assert_allclose(low, -np.ones(len(levels)))
    np.testing.assert_allclose(high, (counts - 1 - counts // 2) / (counts // 2))
    middle = quantizer.quantize({}, jnp.zeros(len(levels))).value
    np.testing.assert_array_equal(middle, np.zeros(len(levels)))


def test_two_levels_are_both_used_and_trained():
    quantizer = finite_scalar_quantizer((2, 2, 2))
    zs = jax.random.normal(jax.random.key(0), (2000, 3))
    indices = jax.vmap(lambda z: quantizer.quantize({}, z).indices[0])(zs)
    assert (np.bincount(indices, minlength=8) > 150).all()
    np.testing.assert_array_equal(indices, ((np.asarray(zs) > 0) * np.array([1, 2, 4])).sum(1))
    gradient = jax.grad(lambda z: quantizer.quantize({}, z).value.sum())(jnp.zeros(3))
    np.testing.assert_allclose(gradient, 0.5005 * np.ones(3), rtol=1e-5)


def test_the_gradient_is_that_of_the_bound():
    quantizer = finite_scalar_quantizer((5, 4))
    z = jnp.asarray([0.3, -0.2])
    found = jax.jacobian(lambda z: quantizer.quantize({}, z).value)(z)
    width = np.array([4.0, 3.0]) * 1.001 / 2
    shift = np.arctanh(np.array([0.0, 0.5]) / width)
    expected = np.diag(width * (1 - np.tanh(np.asarray(z) + shift) ** 2) / 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((8, 1), "levels must be one or more numbers of at least 2"),
        ((), "levels must be one or more numbers of at least 2"),
        ((2,) * 31, r"the product of levels, the number of codes, must be below 2\^31, got 2,147,483,648"),
    ],
)
def test_bad_arguments(levels, message):
    with pytest.raises(ValueError, match=message):
        finite_scalar_quantizer(levels)
