import numpy as np
import pytest

from vae_jax.visualization import throughput

BATCHES, EXAMPLES = [32, 64, 128], [10.0, 18.0, 30.0]
MODELS, TOGETHER, SEPARATE = [1, 2], [100.0, 190.0], [100.0, 99.0]


def test_the_lines_are_the_numbers_and_the_axes_start_at_zero():
    left, right = throughput(BATCHES, EXAMPLES, MODELS, TOGETHER, SEPARATE).axes
    np.testing.assert_array_equal(left.get_lines()[0].get_xydata(), np.column_stack([BATCHES, EXAMPLES]))
    lines = {line.get_label(): line.get_ydata() for line in right.get_lines()}
    np.testing.assert_array_equal(lines["as one program"], TOGETHER)
    np.testing.assert_array_equal(lines["one after another"], SEPARATE)
    assert left.get_ylim() == (0.0, pytest.approx(33.6))
    assert right.get_ylim() == (0.0, pytest.approx(212.8))


@pytest.mark.parametrize("examples", [[1.0, 2.0], [1.0, np.nan, 3.0], [1.0, 0.0, 3.0]])
def test_wrong_values_are_refused(examples):
    with pytest.raises(ValueError, match="arguments of throughput must be finite numbers above 0 of equal shapes"):
        throughput(BATCHES, examples, MODELS, TOGETHER, SEPARATE)
