import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import Delta

POINT = np.array([0.5, -2.0], np.float32)


def test_all_mass_is_at_the_point():
    dist = Delta(POINT)
    assert dist.log_prob(POINT) == 0
    for other in (POINT + np.float32(1e-6), np.array([0.5, 2.0], np.float32), np.zeros(2, np.float32)):
        assert dist.log_prob(other) == -np.inf
    np.testing.assert_array_equal(dist.mean, POINT)
    for seed in range(3):
        value, log_prob = dist.sample_and_log_prob(jax.random.key(seed))
        np.testing.assert_array_equal(value, POINT)
        np.testing.assert_array_equal(dist.sample(jax.random.key(seed)), POINT)
        assert log_prob == 0


def test_the_gradient_passes_through_the_draw():
    gradient = jax.grad(lambda point: jnp.sum(Delta(point).sample(jax.random.key(0)) ** 2))(jnp.asarray(POINT))
    np.testing.assert_array_equal(gradient, 2 * POINT)


@pytest.mark.parametrize("other", [(1,), (2, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        Delta(POINT).log_prob(np.zeros(other, np.float32))
