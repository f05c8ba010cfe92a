import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.quantizers import rotation_trick, straight_through
from vae_jax.quantizers._gradients import MAX_GAIN

RNG = np.random.default_rng(0)


def jacobian(estimator, z, code):
    return np.asarray(jax.jacobian(estimator)(jnp.asarray(z, jnp.float32), jnp.asarray(code, jnp.float32)))


@pytest.mark.parametrize("estimator", [straight_through, rotation_trick])
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8, np.inf])
def test_the_value_is_the_code_in_all_its_bits(estimator, scale):
    # z + (code - z) loses all digits of the code if z is large, and is NaN if z is infinite.
    z, code = jnp.full(3, scale), jnp.asarray([0.1, -0.0, 1e-30])
    value = jax.jit(estimator)(z, code)
    np.testing.assert_array_equal(np.asarray(value).view(np.uint32), np.asarray(code).view(np.uint32))


def test_straight_through_is_the_identity_backwards():
    np.testing.assert_array_equal(jacobian(straight_through, RNG.normal(size=5), RNG.normal(size=5)), np.eye(5))


@pytest.mark.parametrize("seed", range(4))
def test_the_rotation_is_that_of_the_explicit_matrix(seed):
    rng = np.random.default_rng(seed)
    z, code = rng.normal(size=6), rng.normal(size=6)
    found = jacobian(rotation_trick, z, code)
    # In float64: the rotation by the angle of z and the code in their plane, the identity orthogonal to it.
    e, c = z / np.linalg.norm(z), code / np.linalg.norm(code)
    across = (c - (c @ e) * e) / np.linalg.norm(c - (c @ e) * e)
    plane, angle = np.stack([e, across]), np.arccos(e @ c)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rotation = np.eye(6) + plane.T @ (turn - np.eye(2)) @ plane
    np.testing.assert_allclose(rotation @ e, c, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
    gain = np.linalg.norm(code) / np.linalg.norm(z)
    np.testing.assert_allclose(found, gain * rotation, atol=2e-5)


def test_the_gain_is_bounded():
    z, code = np.array([1e-3, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(np.linalg.svd(jacobian(rotation_trick, z, code))[1], MAX_GAIN, rtol=1e-4)


@pytest.mark.parametrize(
    ("z", "code"),
    [
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ([1e-9, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], [-2.0, -4.0, -6.0]),
    ],
)
def test_where_no_rotation_is_defined_the_gradient_is_straight_through(z, code):
    np.testing.assert_array_equal(jacobian(rotation_trick, z, code), np.eye(3))


def test_no_gradient_reaches_the_code():
    for estimator in (straight_through, rotation_trick):
        gradient = jax.grad(lambda code, f=estimator: f(jnp.arange(1.0, 4.0), code).sum())(jnp.ones(3))
        np.testing.assert_array_equal(gradient, np.zeros(3))
