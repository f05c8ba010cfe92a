import numpy as np
import pytest

from vae_jax.visualization import bounds_by_epoch

CURVE = {1: 150.0, 3: 100.0, 2: 120.0, 40: 90.0}


def test_every_seed_is_a_line_over_its_epochs_in_order_and_the_legend_has_the_mean_of_their_ends():
    figure = bounds_by_epoch({"VAE": [CURVE, {1: 151.0, 40: 91.0}], "IWAE": [{1: 149.0, 40: 85.0}]})
    (axes,) = figure.axes
    first, second, third = axes.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [(1, 150), (2, 120), (3, 100), (40, 90)])
    assert first.get_color() == second.get_color() != third.get_color()
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["VAE: 90.50 at the end", "IWAE: 85.00 at the end"]
    assert axes.get_xscale() == "log"


def test_the_first_epochs_do_not_flatten_the_rest():
    epochs = np.arange(1, 101)
    (axes,) = bounds_by_epoch({"VAE": [dict(zip(epochs.tolist(), (90 + 400 / epochs**2).tolist(), strict=True))]}).axes
    low, high = axes.get_ylim()
    assert low < 90.04
    assert 92 < high < 130


@pytest.mark.parametrize("runs", [{"VAE": []}, {"VAE": [{}]}, {"VAE": [{1: np.nan}]}, {"a": [CURVE], "b": []}])
def test_models_without_curves_are_refused(runs):
    with pytest.raises(ValueError, match="runs must hold one curve or more for each model"):
        bounds_by_epoch(runs)


def test_no_models_or_more_than_colors_are_refused():
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"runs must hold 1 to 4 models, got {count}"):
            bounds_by_epoch({str(index): [CURVE] for index in range(count)})
