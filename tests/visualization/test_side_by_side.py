import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vae_jax.visualization import image_grid, kl_bars, side_by_side
from vae_jax.visualization._side_by_side import GAP, TITLE


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def test_each_figure_is_there_pixel_for_pixel_under_its_title():
    figures = {"noise": image_grid(np.random.default_rng(0).random((6, 8, 8, 1))), "bars": kl_bars([2.0, 1.0])}
    alone = [pixels(figure) for figure in figures.values()]
    row = side_by_side(figures)
    together, left = pixels(row), 0
    for picture in alone:
        height, width = picture.shape[:2]
        found = together[TITLE : TITLE + height, left : left + width]
        np.testing.assert_array_equal(found, picture)
        left += width + GAP
    assert together.shape[1] == left - GAP
    assert [axes.get_title(loc="left") for axes in row.axes] == ["noise", "bars"]


def test_no_figures_are_refused():
    with pytest.raises(ValueError, match="figures must hold one or more figures, got none"):
        side_by_side({})
