import math

import numpy as np
import pytest

from vae_jax.experiment.schedules import make_schedule

PEAK, STEPS = 0.02, 200
WARMUP = 10  # a twentieth


def half_cosine(fraction):
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


# The rate over PEAK as a function of the step.
FORMULAS = {
    "constant": lambda step: 1.0,
    "linear": lambda step: 1.0 - step / STEPS,
    "cosine": lambda step: half_cosine(step / STEPS),
    "warmup_cosine": lambda step: step / WARMUP if step < WARMUP else half_cosine((step - WARMUP) / (STEPS - WARMUP)),
    "exponential": lambda step: 0.01 ** (step / STEPS),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("step", [0, 1, 7, 10, 100, 150, 199, 200])
def test_the_rate_is_the_formula(name, step):
    schedule = make_schedule(name, PEAK, STEPS)
    np.testing.assert_allclose(schedule(step), PEAK * FORMULAS[name](step), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "first", "middle", "last"),
    [
        ("constant", 1.0, 1.0, 1.0),
        ("linear", 1.0, 0.5, 0.0),
        ("cosine", 1.0, 0.5, 0.0),
        ("warmup_cosine", 0.0, 0.5413, 0.0),
        ("exponential", 1.0, 0.1, 0.01),
    ],
)
def test_first_middle_and_last_rate(name, first, middle, last):
    schedule = make_schedule(name, 1.0, STEPS)
    np.testing.assert_allclose([schedule(0), schedule(STEPS // 2), schedule(STEPS)], [first, middle, last], atol=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("total_steps", [1, 2, 19])
def test_a_run_of_few_steps_has_rates_between_0_and_the_peak_and_learns_something(name, total_steps):
    rates = [float(make_schedule(name, PEAK, total_steps)(step)) for step in range(total_steps)]
    assert all(0.0 <= rate <= PEAK * (1 + 1e-6) for rate in rates)
    assert max(rates) > 0.9 * PEAK


def test_an_unknown_name_is_refused_with_the_known_ones():
    message = "schedule must be one of constant, linear, cosine, warmup_cosine, exponential, got 'step'"
    with pytest.raises(ValueError, match=message):
        make_schedule("step", 0.1, 10)


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan")])
def test_a_rate_that_is_not_above_0_is_refused(rate):
    with pytest.raises(ValueError, match=f"learning_rate must be above 0, got {rate}"):
        make_schedule("cosine", rate, 10)
