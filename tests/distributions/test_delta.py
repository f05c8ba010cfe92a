import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import Delta

POINT = np.array([3, -2], np.int32)
CODE = np.array([0.5, -2.0], np.float32)


def test_a_discrete_delta_has_all_its_mass_at_the_point():
    dist = Delta(POINT)
    assert dist.log_prob(POINT) == 0
    for other in (POINT + 1, np.array([3, 2], np.int32), np.zeros(2, np.int32)):
        assert dist.log_prob(other) == -np.inf
    for seed in range(3):
        value, log_prob = dist.sample_and_log_prob(jax.random.key(seed))
        np.testing.assert_array_equal(value, POINT)
        assert log_prob == 0


def test_a_continuous_delta_is_drawn_and_has_a_mean_but_no_density():
    dist = Delta(CODE)
    np.testing.assert_array_equal(dist.mean, CODE)
    np.testing.assert_array_equal(dist.sample(jax.random.key(0)), CODE)
    for density in (lambda: dist.log_prob(CODE), lambda: dist.sample_and_log_prob(jax.random.key(0))):
        with pytest.raises(TypeError, match=r"no density.*objectives\.reconstruction"):
            density()


def test_the_gradient_passes_through_the_draw():
    gradient = jax.grad(lambda point: jnp.sum(Delta(point).sample(jax.random.key(0)) ** 2))(jnp.asarray(CODE))
    np.testing.assert_array_equal(gradient, 2 * CODE)


@pytest.mark.parametrize("other", [(1,), (2, 1), ()])
def test_nothing_broadcasts(other):
    with pytest.raises(AssertionError, match="shape"):
        Delta(POINT).log_prob(np.zeros(other, np.int32))
