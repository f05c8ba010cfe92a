"""On the one device of this process; what 8 make of it is in `test_many_devices.py`, two processes in
`test_two_processes.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from vae_jax.objectives import Aux, Scheduled
from vae_jax.training.sharding import (
    examples_per_device,
    on_mesh,
    on_mesh_or_whole,
    place_examples,
    process_rows,
)
from vae_jax.training.sharding import data_mesh

EIGHT = AbstractMesh((8, 1), ("data", "model"), (AxisType.Auto, AxisType.Auto))


def mean(model, params, key, batch):
    return jnp.mean(batch), Aux({}, None)


def test_the_part_of_each_device():
    assert [examples_per_device(size, EIGHT) for size in (8, 128)] == [1, 16]


@pytest.mark.parametrize(("size", "wanted"), [(100, "96 or 104"), (129, "128 or 136"), (5, "8")])
def test_a_batch_that_the_devices_do_not_divide_is_refused_with_what_would_be_right(size, wanted):
    message = f"batch_size must be a multiple of the 8 devices of the mesh's axis data, got {size}: take {wanted}$"
    with pytest.raises(ValueError, match=message):
        examples_per_device(size, EIGHT)
    with pytest.raises(ValueError, match=message):
        on_mesh(mean, EIGHT)(None, None, None, jnp.zeros(size))


def test_an_evaluation_takes_a_batch_that_the_devices_do_not_divide():
    loss, _ = on_mesh_or_whole(mean, EIGHT)(None, None, None, jnp.arange(5.0))
    assert loss == 2.0


def test_a_scheduled_objective_stays_one():
    scheduled = Scheduled(lambda step: lambda *args: (step * mean(*args)[0], Aux({}, None)), 10)
    for lift in (on_mesh, on_mesh_or_whole):
        lifted = lift(scheduled, data_mesh())
        assert isinstance(lifted, Scheduled)
        assert lifted.warm_up_steps == 10
        assert lifted.at(3)(None, None, None, jnp.arange(5.0))[0] == 6.0
        assert lifted(None, None, None, jnp.arange(5.0))[0] == 20.0


def test_a_single_process_gives_all_rows_to_all_devices():
    rows = process_rows(7, data_mesh())
    np.testing.assert_array_equal(rows, np.arange(7))
    examples = np.arange(21, dtype=np.uint8).reshape(7, 3)
    placed = place_examples(examples[rows], 7, data_mesh())
    np.testing.assert_array_equal(placed, examples)
    assert placed.dtype == jnp.uint8
    assert placed.is_fully_replicated
    assert isinstance(placed, jax.Array)


def test_rows_that_are_not_this_processs_are_refused():
    with pytest.raises(ValueError, match="rows must be the 7 of process_rows, got 6"):
        place_examples(np.zeros((6, 3)), 7, data_mesh())
