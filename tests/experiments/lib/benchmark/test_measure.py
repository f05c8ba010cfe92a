import pytest

from experiments.lib.benchmark.measure import Sample, Turns, spread, take_turns, timed


def test_contestants_take_turns_and_the_first_round_is_not_counted():
    order = []

    def contestant(name):
        def measure():
            order.append(name)
            return Sample(float(len(order)), -float(len(order)))

        return measure

    lines = []
    turns = take_turns({"a": contestant("a"), "b": contestant("b")}, 2, lines.append)
    assert order == ["a", "b"] * 3
    assert turns["a"] == Turns(Sample(1, -1), [Sample(3, -3), Sample(5, -5)])
    assert turns["b"].rounds == [Sample(4, -4), Sample(6, -6)]
    assert lines[0] == "round 0 of 2: a 1.000 s"


def test_the_median_and_the_spread_leave_the_first_round_out():
    turns = Turns(Sample(100.0, 0.0), [Sample(s, 0.0) for s in (1.0, 2.0, 3.0, 4.0, 50.0)])
    assert turns.seconds == 3.0
    assert turns.spread == 2.0  # 4 - 2, the quartiles
    assert spread([5.0, 2.0, 3.0]) == 3.0
    assert spread([5.0]) == 0.0


def test_the_timed_interval_is_the_round(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("experiments.lib.benchmark.measure.time.perf_counter", lambda: next(clock))
    assert timed(lambda: 7.0)() == pytest.approx((2.5, 7.0))
