import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.models.code_priors._logits import guided, keep_nucleus, keep_top_k, with_temperature

# Logits of the probabilities 0.1, 0.4, 0.2, 0.3, plus a constant.
LOGITS = jnp.log(jnp.asarray([0.1, 0.4, 0.2, 0.3])) + 1.7


def probabilities(logits):
    return np.asarray(jax.nn.softmax(logits))


def test_temperature_raises_probabilities_to_its_inverse():
    # At temperature 1/2 the probabilities are squared: 0.01, 0.16, 0.04, 0.09, with the sum 0.30.
    np.testing.assert_allclose(
        probabilities(with_temperature(LOGITS, 0.5)), np.array([0.01, 0.16, 0.04, 0.09]) / 0.3, rtol=1e-5
    )
    np.testing.assert_array_equal(with_temperature(LOGITS, 1.0), LOGITS)
    np.testing.assert_allclose(probabilities(with_temperature(LOGITS, 1e6)), np.full(4, 0.25), rtol=1e-5)


def test_temperature_0_is_the_first_of_the_most_probable_codes():
    np.testing.assert_array_equal(probabilities(with_temperature(LOGITS, 0.0)), [0, 1, 0, 0])
    np.testing.assert_array_equal(probabilities(with_temperature(jnp.asarray([1.0, 3.0, 3.0]), 0)), [0, 1, 0])


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [
        (1, [0, 1, 0, 0]),
        (2, [0, 4 / 7, 0, 3 / 7]),
        (3, [0, 4 / 9, 2 / 9, 3 / 9]),
        (4, [0.1, 0.4, 0.2, 0.3]),
    ],
)
def test_top_k_renormalizes_the_k_most_probable_codes(top_k, expected):
    np.testing.assert_allclose(probabilities(keep_top_k(LOGITS, top_k)), expected, rtol=1e-5)


def test_top_k_keeps_exactly_k_of_equal_codes():
    np.testing.assert_array_equal(probabilities(keep_top_k(jnp.zeros(4), 2)), [0.5, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (1e-6, [0, 1, 0, 0]),
        (0.39, [0, 1, 0, 0]),
        (0.41, [0, 4 / 7, 0, 3 / 7]),
        (0.69, [0, 4 / 7, 0, 3 / 7]),
        (0.71, [0, 4 / 9, 2 / 9, 3 / 9]),
        (0.91, [0.1, 0.4, 0.2, 0.3]),
        (1.0, [0.1, 0.4, 0.2, 0.3]),
    ],
)
def test_the_nucleus_is_the_smallest_set_of_most_probable_codes_with_that_probability(top_p, expected):
    np.testing.assert_allclose(probabilities(keep_nucleus(LOGITS, top_p)), expected, rtol=1e-5)


def test_the_nucleus_keeps_the_most_probable_code_even_if_it_is_certain():
    np.testing.assert_array_equal(probabilities(keep_nucleus(jnp.asarray([0.0, 300.0, 0.0]), 1e-30)), [0, 1, 0])


def test_at_top_p_1_codes_too_rare_for_the_sum_are_kept():
    logits = jnp.asarray([0.0, 0.0, -30.0])
    np.testing.assert_array_equal(keep_nucleus(logits, 1.0), logits)


def test_filters_compose_and_map_over_a_batch():
    # The top 3 of 0.1, 0.4, 0.2, 0.3 have 4/9, 3/9, 2/9, and the first two of them reach 0.75.
    both = lambda logits: keep_nucleus(keep_top_k(logits, 3), 0.75)
    rolled = jnp.stack([jnp.roll(LOGITS, i) for i in range(4)])
    expected = np.stack([np.roll([0, 4 / 7, 0, 3 / 7], i) for i in range(4)])
    np.testing.assert_allclose(probabilities(jax.jit(jax.vmap(both))(rolled)), expected, rtol=1e-5)


def test_guidance_moves_away_from_the_unconditional_logits():
    conditional, unconditional = jnp.asarray([1.0, 2.0, -1.0]), jnp.asarray([0.5, 3.0, -1.0])
    np.testing.assert_array_equal(guided(conditional, unconditional, 0.0), conditional)
    # (1 + 2) c - 2 u, the form of the paper.
    np.testing.assert_allclose(guided(conditional, unconditional, 2.0), [2.0, 0.0, -1.0], rtol=1e-6)
    with pytest.raises(AssertionError, match="shape"):
        guided(conditional, unconditional[:2], 1.0)


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        (with_temperature, -0.1, "temperature must be at least 0, got -0.1"),
        (with_temperature, float("nan"), "temperature must be at least 0, got nan"),
        (keep_top_k, 0, r"top_k must be in \[1, K\] = \[1, 4\], got 0"),
        (keep_top_k, 5, r"top_k must be in \[1, K\] = \[1, 4\], got 5"),
        (keep_nucleus, 0.0, r"top_p must be in \(0, 1\], got 0.0"),
        (keep_nucleus, 1.01, r"top_p must be in \(0, 1\], got 1.01"),
        (keep_nucleus, float("nan"), r"top_p must be in \(0, 1\], got nan"),
    ],
)
def test_values_outside_their_range_are_refused(function, value, message):
    with pytest.raises(ValueError, match=message):
        function(LOGITS, value)


@pytest.mark.parametrize("function", [with_temperature, keep_top_k, keep_nucleus])
def test_logits_of_several_codes_are_refused(function):
    with pytest.raises(AssertionError, match="rank"):
        function(jnp.zeros((2, 4)), 1)
