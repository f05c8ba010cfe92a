"""Invalid calls raise one line that says what would be right."""

from experiments.lib.faults.bad_calls import BAD_CALLS, verdict


def test_invalid_calls_raise_one_line_of_this_library():
    assert len(BAD_CALLS) >= 60
    assert len({bad.name for bad in BAD_CALLS}) == len(BAD_CALLS)
    wrong = {bad.name: reason for bad in BAD_CALLS if (reason := verdict(bad)) is not None}
    assert wrong == {}
