import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.evaluation._batches import in_batches

XS = jnp.asarray(np.random.default_rng(0).normal(size=7).astype(np.float32))


@pytest.mark.parametrize(("batch_size", "calls"), [(1, 7), (3, 3), (7, 1), (100, 1)])
def test_every_example_once_in_order_by_one_program(batch_size, calls):
    seen, traces = [], []

    @jax.jit
    def program(indices):
        traces.append(indices)
        return {"index": indices, "twice": 2.0 * XS[indices]}

    results = in_batches(program, 7, batch_size, seen.append)
    assert len(traces) == 1
    np.testing.assert_array_equal(results["index"], np.arange(7))
    np.testing.assert_array_equal(results["twice"], 2.0 * XS)
    assert len(seen) == calls
    # The padding of the last batch is not reported.
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in seen]), np.arange(7))


def test_a_batch_is_done_when_it_is_told():
    done, told = [], []

    def program(indices):
        jax.debug.callback(lambda: done.append(len(indices)))
        return indices + 1

    in_batches(jax.jit(program), 7, 3, lambda batch: told.append(len(done)))
    assert told == [1, 2, 3]
