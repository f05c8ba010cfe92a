"""In a single process, where there is nothing to agree on; two are in `test_two_processes.py`."""

import pytest

from vae_jax.training.distributed import check_same, ending_together, from_all, from_writer, is_writer


def test_a_single_process_writes_and_agrees_with_itself():
    assert is_writer()
    assert from_writer({"name": "run", "numbers": [1, 2.5, None]}) == {"name": "run", "numbers": [1, 2.5, None]}
    assert from_all([True, 2.5]) == [[True, 2.5]]
    check_same({"batch_size": 128})


@pytest.mark.parametrize("error", [ValueError("its own"), SystemExit(2), KeyboardInterrupt()])
def test_what_a_single_process_raises_is_left_alone(error):
    with pytest.raises(type(error)) as raised, ending_together():
        raise error
    assert raised.value is error
