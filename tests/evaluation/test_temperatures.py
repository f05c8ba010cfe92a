import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.evaluation import sigmoid_temperatures
from vae_jax.evaluation._temperatures import checked_temperatures


@pytest.mark.parametrize("num_steps", [1, 2, 10, 10_000])
def test_sigmoid_temperatures_are_the_formula(num_steps):
    actual = sigmoid_temperatures(num_steps)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    positions = np.arange(num_steps + 1) / num_steps
    expected = (sigmoid(4 * (2 * positions - 1)) - sigmoid(-4)) / (sigmoid(4) - sigmoid(-4))
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
    assert actual[0] == 0 and actual[-1] == 1
    np.testing.assert_allclose(actual + actual[::-1], 1.0, rtol=1e-12)
    in_float32 = checked_temperatures(actual)
    assert in_float32.dtype == jnp.float32 and in_float32[0] == 0 and in_float32[-1] == 1
    assert (np.diff(in_float32) > 0).all()


def test_a_steeper_sigmoid_is_denser_at_the_ends():
    assert sigmoid_temperatures(10, steepness=8.0)[1] < sigmoid_temperatures(10)[1] < 0.1
    np.testing.assert_allclose(sigmoid_temperatures(10, steepness=1e-3), np.linspace(0, 1, 11), atol=1e-6)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        sigmoid_temperatures(0)


def test_any_schedule_from_0_to_1_that_does_not_fall_will_do():
    np.testing.assert_array_equal(checked_temperatures([0, 1]), [0, 1])
    np.testing.assert_array_equal(checked_temperatures([0.0, 0.0, 0.5, 0.5, 1.0]), [0, 0, 0.5, 0.5, 1])


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [
        (np.linspace(0.1, 1, 5), "got 0.1 at the start and 1 at the end"),
        (np.linspace(0, 0.9, 5), "got 0 at the start and 0.9 at the end"),
        (np.linspace(1, 0, 5), "got 1 at the start and 0 at the end"),
        ([0.0, 0.6, 0.5, 1.0], "got 0.5 after 0.6"),
        ([0.0, np.nan, 1.0], "got nan after 0"),
        ([1.0], r"got an array of shape \(1,\)"),
        (100, r"got an array of shape \(\)"),
        (np.zeros((2, 3)), r"got an array of shape \(2, 3\)"),
    ],
)
def test_others_are_refused(temperatures, message):
    with pytest.raises(ValueError, match=f"temperatures must rise from 0 to 1.*{message}"):
        checked_temperatures(temperatures)
