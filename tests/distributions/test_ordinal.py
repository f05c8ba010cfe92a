import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vae_jax.distributions import Ordinal, bernoulli_log_prob, ordinal_log_prob, ordinal_logits


def cumulative(location, increments):
    """Probabilities as differences of cumulative ones, in numpy float64."""
    increments = np.float64(increments)
    softplus = np.logaddexp(0, increments[..., 1:])
    cuts = np.cumsum(np.concatenate([increments[..., :1], softplus], axis=-1), axis=-1)
    below = scipy.special.expit(cuts - np.float64(location)[..., None])
    edges = np.zeros_like(below[..., :1])
    return np.diff(np.concatenate([edges, below, edges + 1], axis=-1), axis=-1)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_probabilities_are_differences_of_cumulative_ones(shape):
    rng = np.random.default_rng(0)
    location = rng.normal(size=shape).astype(np.float32)
    increments = rng.normal(size=(*shape, 4)).astype(np.float32)
    expected = cumulative(location, increments)
    np.testing.assert_allclose(expected.sum(-1), 1)
    np.testing.assert_allclose(Ordinal(location, increments).probabilities, expected, rtol=1e-5)
    x = rng.integers(0, 5, shape)
    log_prob = np.log(np.take_along_axis(expected, x[..., None], -1)).sum()
    np.testing.assert_allclose(ordinal_log_prob(x, location, increments), log_prob, rtol=1e-5)


def test_two_categories_are_a_bernoulli_distribution():
    location = np.float32([0.3, -2.0])
    expected = bernoulli_log_prob(np.float32([1, 0]), location)
    np.testing.assert_allclose(ordinal_log_prob(np.array([1, 0]), location, np.zeros((2, 1))), expected, rtol=1e-6)


def test_a_narrow_category_keeps_its_digits():
    # A width w of the middle category gives w sigmoid(c) sigmoid(-c), where a difference of sigmoids would be 0.
    logits = ordinal_logits(jnp.zeros(()), jnp.asarray([1.0, -40.0]))
    expected = -40 + np.log(scipy.special.expit(1.0) * scipy.special.expit(-1.0))
    np.testing.assert_allclose(logits[1], expected, rtol=1e-6)


def test_a_larger_location_makes_larger_categories_more_probable():
    tails = [np.cumsum(Ordinal(jnp.float32(at), jnp.asarray([-1.0, 0.0, 1.0])).probabilities) for at in (-1, 0, 2)]
    assert (tails[0][:-1] > tails[1][:-1]).all()
    assert (tails[1][:-1] > tails[2][:-1]).all()


def test_shapes_must_agree():
    with pytest.raises(AssertionError, match="shape"):
        ordinal_logits(np.zeros(2, np.float32), np.zeros((3, 4), np.float32))
