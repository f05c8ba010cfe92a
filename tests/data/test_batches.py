import json
from itertools import islice

import numpy as np
import pytest

from vae_jax.data import Batches, ImageSource, Unreadable
from vae_jax.data._sources import ArrayImages

TOTAL, BATCH_SIZE = 50, 8
STEPS = 6  # and two images left out of each epoch


def numbered(total=TOTAL):
    """Images whose pixel is their index."""
    return ArrayImages(np.arange(total, dtype=np.uint8).reshape(total, 1, 1, 1))


def numbers(batches, count):
    """Indices of the images in the next `count` batches, `[count, batch]`."""
    return np.stack([batch.ravel() for batch in islice(batches, count)]).astype(int)


def make(source=None, batch_size=BATCH_SIZE, seed=3, **options):
    return Batches(source or numbered(), batch_size, seed, **options)


def test_the_same_seed_gives_the_same_batches_with_any_number_of_threads():
    first = numbers(make(), 3 * STEPS)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(numbers(make(threads=threads), 3 * STEPS), first)
    np.testing.assert_array_equal(numbers(make(read_ahead=1), 3 * STEPS), first)
    assert (numbers(make(seed=4), STEPS) != first[:STEPS]).any()
    batch = next(make())
    assert (batch.shape, batch.dtype) == ((BATCH_SIZE, 1, 1, 1), np.uint8)


def test_an_epoch_has_every_image_at_most_once_and_only_the_remainder_not_at_all():
    batches = make()
    assert batches.steps_per_epoch == STEPS
    left_out = []
    for _ in range(10):
        seen = numbers(batches, STEPS).ravel()
        assert len(set(seen)) == STEPS * BATCH_SIZE == 48
        left_out.append(frozenset(range(TOTAL)) - set(seen))
    assert {len(places) for places in left_out} == {2}
    assert len(set(left_out)) > 5


def test_every_image_comes_exactly_once_an_epoch_over_all_processes():
    processes = [make(batch_size=10, process_index=index, process_count=5, threads=2) for index in range(5)]
    for _ in range(3):
        parts = [set(numbers(process, 5).ravel()) for process in processes]
        assert [len(part) for part in parts] == [10] * 5  # disjoint, for their union is everything
        assert set.union(*parts) == set(range(TOTAL))


@pytest.mark.parametrize("count", [2, 4])
def test_the_parts_of_all_processes_are_the_batch_of_one_process(count):
    whole = numbers(make(), 2 * STEPS)
    parts = [numbers(make(process_index=index, process_count=count), 2 * STEPS) for index in range(count)]
    assert parts[0].shape == (2 * STEPS, BATCH_SIZE // count)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def orders_of(total, epochs, seed):
    """Order of each epoch, `[epochs, total]`."""
    pixels = np.arange(total, dtype=">u2").view(np.uint8).reshape(total, 1, 2, 1)  # a number in two bytes
    batches = islice(Batches(ArrayImages(pixels), 100, seed), epochs * total // 100)
    return np.concatenate(list(batches)).reshape(-1, 2).view(">u2").reshape(epochs, total).astype(int)


@pytest.mark.slow
def test_the_order_is_a_new_one_each_epoch_and_spread_over_the_whole_data_set():
    total, epochs = 1000, 40
    orders = orders_of(total, epochs, seed=0)
    assert len({tuple(order) for order in orders}) == epochs
    # Counts of image i at position j, for uniform orders: chi-square of (20 - 1)^2 degrees of freedom over a 20 x 20
    # grid of images and positions, with an expected count of 100 per cell.
    cells = np.zeros((20, 20))
    np.add.at(cells, (orders // 50, np.broadcast_to(np.arange(total) // 50, orders.shape)), 1)
    chi_square = np.square(cells - cells.mean()).sum() / cells.mean()
    assert abs(chi_square - 361) < 5 * np.sqrt(2 * 361)
    # Consecutive images are not neighbors in the data set: the mean of |i - j| is (n + 1) / 3.
    steps = np.abs(np.diff(orders, axis=1))
    np.testing.assert_allclose(steps.mean(), (total + 1) / 3, rtol=0.02)
    # The order of an epoch is neither a shift of the previous one, nor an order of the next seed.
    assert abs(np.corrcoef(orders[:-1].ravel(), orders[1:].ravel())[0, 1]) < 5 / np.sqrt(orders[1:].size)
    other = orders_of(total, epochs, seed=1)
    assert {tuple(order) for order in orders}.isdisjoint({tuple(order) for order in other})


@pytest.mark.parametrize("stop", [0, 5, STEPS, 2 * STEPS + 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_restored_position_goes_on_with_the_same_batches(stop, threads):
    uninterrupted = numbers(make(), 4 * STEPS)
    stopped = make(threads=threads)
    numbers(stopped, stop) if stop else None
    state = json.loads(json.dumps(stopped.state()))
    assert state == {"num_examples": TOTAL, "batch_size": BATCH_SIZE, "seed": 3, "batch": stop}
    resumed = make(threads=threads)
    resumed.restore(state)
    assert resumed.state() == state
    np.testing.assert_array_equal(numbers(resumed, 3 * STEPS - stop), uninterrupted[stop : 3 * STEPS])
    # An iterator that has read ahead can be restored, too, and with another number of processes.
    resumed.seek(stop)
    np.testing.assert_array_equal(numbers(resumed, 2), uninterrupted[stop : stop + 2])
    half = make(process_index=1, process_count=2)
    half.restore(state)
    np.testing.assert_array_equal(numbers(half, 2), uninterrupted[stop : stop + 2, BATCH_SIZE // 2 :])


def test_the_position_does_not_count_batches_read_ahead():
    batches = make(read_ahead=10)
    for count in range(1, 4):
        next(batches)
        assert batches.state()["batch"] == count


@pytest.mark.parametrize(("name", "other"), [("num_examples", 51), ("batch_size", 4), ("seed", 9)])
def test_a_position_in_another_stream_is_refused(name, other):
    batches = make()
    with pytest.raises(ValueError, match=f"stream with {name} .*, got a state with {name} {other}$"):
        batches.restore(batches.state() | {name: other})
    with pytest.raises(ValueError, match="batch must be at least 0, got -1"):
        batches.seek(-1)


class Damaged(ArrayImages):
    def read(self, indices):
        if 7 in indices:
            raise ValueError("image 7 cannot be decoded")
        return super().read(indices)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_that_cannot_be_read_stops_the_stream_at_its_batch(threads):
    source: ImageSource = Damaged(numbered().read(np.arange(TOTAL)))
    at = int(np.flatnonzero((numbers(make(), STEPS) == 7).any(axis=1))[0])
    assert at > 0
    batches = make(source, threads=threads)
    numbers(batches, at)
    with pytest.raises(Unreadable, match="image 7 cannot be decoded"):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 51}, "batch_size must be between 1 and the 50 training examples, got 51"),
        ({"batch_size": 0}, "batch_size must be between 1 and the 50 training examples, got 0"),
        ({"process_count": 3}, "batch_size must be a multiple of the 3 processes, got 8"),
        ({"process_index": 2, "process_count": 2}, "process_index must be between 0 and 1, got 2"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"threads": 4, "read_ahead": 2}, "read_ahead at least threads and at most 10,000, got 4 and 2"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_the_smallest_data_sets_are_permuted_too(total):
    batches = make(numbered(total), 1)
    orders = numbers(batches, 30 * total).reshape(30, total)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(total), (30, total)))
    assert len({tuple(order) for order in orders}) >= min(total, 4)
