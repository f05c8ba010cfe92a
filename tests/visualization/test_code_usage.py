import numpy as np
import pytest

from vae_jax.visualization import code_usage_curves


def test_a_line_has_the_shares_from_the_largest_down():
    figure = code_usage_curves([[1, 0, 3, 0], [2, 2, 2, 2]])
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(lines[0].get_ydata(), [0.75, 0.25, 0.0, 0.0])
    np.testing.assert_allclose(lines[1].get_ydata(), [0.25] * 4)
    assert "2 of 8 codes never used" in axes.get_title(loc="right")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["codebook 1", "codebook 2"]


@pytest.mark.parametrize("counts", [[], [[0, 0]], [[1, -1]], [[[1]]]])
def test_missing_zero_and_negative_counts_are_refused(counts):
    with pytest.raises(ValueError, match="counts must hold one or more lists of counts, none negative"):
        code_usage_curves(counts)
