import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.objectives import cyclical, linear


def values(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule.at))(jnp.asarray(steps)))


def test_linear_rises_from_start_to_end_and_stays():
    schedule = linear(4, start=1.0, end=3.0)
    assert schedule.num_steps == 4
    np.testing.assert_allclose(values(schedule, range(7)), [1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0], rtol=1e-6)
    assert schedule.at(2) == 2.0  # a number as well as a traced step
    np.testing.assert_allclose(values(linear(2, 1.0, 0.0), range(4)), [1.0, 0.5, 0.0, 0.0])


def test_cyclical_is_the_papers_formula_and_then_stays():
    # Fu et al. 2019 in their own terms: T steps, M cycles, R; t counts from 1.
    cycles, steps_per_cycle, rise = 4, 10, 0.5
    schedule = cyclical(cycles, steps_per_cycle, rise)
    expected = []
    for t in range(1, cycles * steps_per_cycle + 1):
        tau = ((t - 1) % steps_per_cycle) / steps_per_cycle
        expected.append(tau / rise if tau <= rise else 1.0)
    np.testing.assert_allclose(values(schedule, range(40)), expected, rtol=1e-6)
    assert expected[:8] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0]
    assert (values(schedule, range(40, 100)) == 1.0).all()


@pytest.mark.parametrize("schedule", [linear(7), cyclical(3, 10, 0.5), cyclical(2, 7, 0.3), cyclical(3, 5, 1.0)])
def test_num_steps_is_the_first_step_from_which_the_value_is_constant(schedule):
    at = values(schedule, range(60))
    assert (at[schedule.num_steps :] == 1.0).all()
    assert at[schedule.num_steps - 1] < 1.0
    assert at[0] == 0.0 and at.min() >= 0.0 and at.max() <= 1.0


def test_one_cycle_is_linear_and_a_cycle_starts_and_ends_where_it_is_told():
    np.testing.assert_allclose(values(cyclical(1, 8, 1.0), range(20)), values(linear(8), range(20)), rtol=1e-6)
    at = values(cyclical(2, 4, 0.5, start=0.5, end=2.0), range(10))
    np.testing.assert_allclose(at, [0.5, 1.25, 2.0, 2.0, 0.5, 1.25, 2.0, 2.0, 2.0, 2.0], rtol=1e-6)


def test_step_numbers_beyond_float32_still_count():
    # 2^24 + 3001 is no float32, but the integers modulo a cycle are exact.
    schedule = cyclical(10_000, 10_000, 0.5)
    assert values(schedule, [2**24 + 3001])[0] == pytest.approx((2**24 + 3001) % 10_000 / 5000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear(0), "num_steps must be at least 1, got 0"),
        (lambda: cyclical(0, 5), "num_cycles must be at least 1, got 0"),
        (lambda: cyclical(2, 0), "steps_per_cycle must be at least 1, got 0"),
        (lambda: cyclical(2, 5, 0.0), r"rise must be above 0 and at most 1, got 0\.0"),
        (lambda: cyclical(2, 5, 1.5), r"rise must be above 0 and at most 1, got 1\.5"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_rise_of_a_whole_number_of_steps_ends_there_whatever_its_float_is():
    assert 0.07 * 100 > 7
    schedule = cyclical(4, 100, 0.07)
    assert schedule.num_steps == 307
    np.testing.assert_allclose(values(schedule, [306, 307]), [6 / 7, 1.0], rtol=1e-6)
