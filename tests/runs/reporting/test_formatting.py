"""One rule for the digits of every number that is shown."""

import numpy as np
import pytest

from vae_jax.runs.reporting.formatting import duration, formatted, setting


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.567, 2, "1,234.57"),
        (0.2, 2, "0.20"),
        (0.0996, 2, "0.10"),
        (0.0994, 2, "0.099"),
        (0.006, 2, "0.0060"),
        (-0.0034, 2, "-0.0034"),
        (0.2, 3, "0.200"),
        (0.0123, 3, "0.012"),
        (2.5e-6, 2, "2.5e-06"),
        (0.0, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (np.float32(104.125), 2, "104.12"),
        (28_000, 2, "28,000"),
        (np.int64(7), 2, "7"),
        (float("nan"), 2, "nan"),
        ([78, 5], 2, "78, 5"),
        (None, 2, "not defined"),
        (True, 2, "yes"),
        ("one CPU", 2, "one CPU"),
    ],
)
def test_numbers_have_their_decimals_and_at_least_two_significant_digits(value, digits, text):
    assert formatted(value, digits) == text


def test_a_time_has_a_fitting_unit():
    times = [duration(seconds) for seconds in (0.04, 119.96, 600, 3569, 3571, 7380)]
    assert times == [
        ("0.0", "seconds"),
        ("120.0", "seconds"),
        ("10.0", "minutes"),
        ("59.5", "minutes"),
        ("1:00", "hours"),
        ("2:03", "hours"),
    ]


def test_settings_are_written_as_on_the_command_line():
    settings = [1e-3, 4.0, [400, 200], 0.123456789, None, True, "digits"]
    assert [setting(each) for each in settings] == ["0.001", "4", "400 200", "0.123456789", "None", "True", "digits"]
