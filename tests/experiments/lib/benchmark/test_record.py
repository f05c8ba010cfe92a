import pytest

from experiments.lib.benchmark.flops import FORWARD, Product
from experiments.lib.benchmark.measure import Sample, Turns
from experiments.lib.benchmark.record import FLOOR, OURS, claims, make_record, table
from experiments.lib.benchmark.start import Start
from experiments.lib.benchmark.work import Setup, Work


def turns(first, seconds, loss):
    return Turns(Sample(first, loss), [Sample(s, loss) for s in seconds])


@pytest.fixture
def record():
    work = Work("mlp_vae", "a protocol", 100, 10, lambda: 0.0, lambda: None, [Product(100, 2, 3, FORWARD)], {})
    taken = {
        OURS: turns(2.0, [0.4, 0.5, 0.6], 100.0),
        FLOOR: turns(1.0, [0.4, 0.4, 0.4], 0.0),
        "pythae": turns(1.0, [2.0, 2.0, 2.0], 101.0),
        "pytorch": turns(1.0, [1.0, 1.0, 1.0], 110.0),
    }
    starts = (Start(9.0, 1000), Start(4.0, 900))
    return make_record(work, Setup(), taken, starts, 1300.0, {"device": "cpu (2 cores)"})


def test_the_numbers_of_a_record_follow_from_the_turns(record):
    assert record["step_milliseconds"] == pytest.approx(50.0)
    assert record["step_milliseconds_spread"] == pytest.approx(20.0)
    assert record["step_milliseconds_rounds"] == pytest.approx([40.0, 50.0, 60.0])
    assert record["examples_per_second"] == pytest.approx(2000.0)
    assert record["compile_seconds"] == pytest.approx(5.0)
    assert (record["seconds_to_first_step_uncached"], record["seconds_to_first_step"]) == (9.0, 4.0)
    assert (record["flops_per_step"], record["flops_per_step_formula"]) == (1300.0, 1200)
    assert record["flops_per_second"] == pytest.approx(1200 / 0.05)
    assert record["fraction_of_floor"] == pytest.approx(0.8)
    assert record["floor_flops_per_second"] == pytest.approx(1200 / 0.04)
    assert (record["peak_memory_bytes"], record["device"]) == (900, "cpu (2 cores)")


def test_a_ratio_above_one_says_that_we_are_faster(record):
    assert record["peers"]["pythae"]["ratio"] == pytest.approx(4.0)
    assert record["peers"]["pytorch"]["ratio"] == pytest.approx(2.0)
    assert set(record["peers"]) == {"pythae", "pytorch"}


def test_a_peer_with_another_loss_did_not_do_the_same_work(record):
    assert record["peers"]["pythae"]["same_work"]
    assert record["peers"]["pytorch"]["loss_difference"] == pytest.approx(10 / 110)
    assert not record["peers"]["pytorch"]["same_work"]
    assert "2.00 x as fast as pytorch (100.000 ms a step); its loss differs by 9.1%: not the same work" in table(record)


def test_the_claims_hold_the_bars_as_times_of_ours_by_theirs(record):
    made = {claim.claim: claim for claim in claims([record])}
    pythae, pytorch = (made[f"mlp_vae: time relative to {name}"] for name in ("pythae", "pytorch"))
    assert pythae.values == [pytest.approx(0.25)]
    assert pythae.at_most == pytest.approx(1 / 3.3)
    assert pythae.reached
    assert not pytorch.reached  # twice as fast; the bar is 2.5 times
    assert made["mlp_vae: time relative to the matrix products alone"].reached  # 1 / 0.8 <= 1 / 0.75
    assert made["mlp_vae: first start, time to the first step"].values == [9.0]
    assert made["mlp_vae: second start, time to the first step"].at_most == 4.0
    assert not made["mlp_vae: difference of the loss from pytorch"].reached


@pytest.mark.parametrize(
    ("changes", "bar"),
    [
        ({}, 1 / 3.3),
        ({"precision": "bfloat16"}, None),
        ({"devices": 2}, None),
        ({"usual_batch": False}, None),
        ({"device": "gpu (NVIDIA H100)"}, None),
    ],
)
def test_bars_are_for_the_protocol_they_were_set_in(record, changes, bar):
    made = {claim.claim: claim.at_most for claim in claims([record | changes])}
    assert made["mlp_vae: time relative to pythae"] == (bar and pytest.approx(bar))
    assert (made["mlp_vae: time relative to the matrix products alone"] is None) == (bar is None)
    assert (made["mlp_vae: second start, time to the first step"] is None) == (bar is None)


def test_two_simulated_devices_have_a_bar_at_a_batch_of_1024_alone(record):
    two = record | {"devices": 2, "batch_size": 1024, "peers": {"one device": record["peers"]["pythae"]}}
    bars = [
        {c.claim: c.at_most for c in claims([r])}["mlp_vae: time relative to one device"]
        for r in (two, two | {"batch_size": 128})
    ]
    assert bars == [pytest.approx(1.15), None]
