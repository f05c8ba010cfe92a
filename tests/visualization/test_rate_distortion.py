import numpy as np
import pytest

from vae_jax.visualization import rate_distortion

BETA, RATE, DISTORTION = [4.0, 0.25, 1.0], [10.0, 40.0, 25.0], [110.0, 79.0, 83.0]


def lines(figure):
    return figure.axes[0].get_lines()


def test_the_curve_goes_through_the_models_in_the_order_of_beta():
    figure = rate_distortion(BETA, RATE, DISTORTION)
    (curve,) = [line for line in lines(figure) if len(line.get_xdata()) == 3]
    np.testing.assert_array_equal(curve.get_xdata(), [40.0, 25.0, 10.0])
    np.testing.assert_array_equal(curve.get_ydata(), [79.0, 83.0, 110.0])
    assert {"beta = 4", "0.25", "1"} <= {text.get_text() for text in figure.axes[0].texts}


def test_the_ring_is_at_the_lowest_sum():
    (ring,) = [line for line in lines(rate_distortion(BETA, RATE, DISTORTION)) if line.get_markersize() > 8]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (25.0, 83.0)
    assert ring.get_label() == "lowest D + R: 108.0 at beta = 1"


def test_on_each_light_line_the_sum_is_what_is_written_beside_it():
    axes = rate_distortion(BETA, RATE, DISTORTION).axes[0]
    light = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
    sums = [np.add(line.get_xdata(), line.get_ydata()) for line in light]
    for first, second in sums:
        np.testing.assert_allclose(first, second)
    assert min(abs(first - 108.0) for first, _ in sums) < 1e-9  # the best one's own
    levels = {round(float(first), 6) for first, _ in sums}
    right = axes.get_xlim()[1]
    written = {}
    for text in axes.texts:
        words = text.get_text().removeprefix("D + R = ")
        if text.get_fontweight() != "bold":
            written[float(words)] = sum(text.xy)
            assert text.xy[0] == right
    assert written
    assert set(written) <= levels
    np.testing.assert_allclose(list(written), list(written.values()))


@pytest.mark.parametrize(
    ("betas", "rates", "distortions"), [([], [], []), ([1.0], [1.0, 2.0], [3.0, 4.0]), ([1.0], [np.nan], [2.0])]
)
def test_wrong_values_are_refused(betas, rates, distortions):
    with pytest.raises(ValueError, match="betas, rates and distortions must be finite and of one shape"):
        rate_distortion(betas, rates, distortions)
