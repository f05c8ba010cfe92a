"""Figures of the columns of a table: what is drawn."""

import numpy as np
import pytest

from vae_jax.visualization._columns import ColumnSamples, association_matrices, column_bars, column_distributions


def test_distributions_draw_the_shares_of_data_and_model():
    codes = np.repeat([0, 1, 2], [10, 60, 30])
    figure = column_distributions(
        [
            ColumnSamples("a " * 20, np.arange(100.0), np.arange(50.0)),
            ColumnSamples("kind", codes, np.repeat([0, 2], 50), ["x", "a very long level", "y"]),
            ColumnSamples("size", codes, codes, ["s", "m", "l"], in_order=True),
            ColumnSamples("many", np.arange(20), np.arange(20), [f"$l{i}" for i in range(20)]),
            ColumnSamples("wide", np.geomspace(1, 1e5, 99), np.geomspace(1, 1e5, 99), above_zero=True),
        ]
    )
    number, kind, size, many, wide = figure.axes
    assert number.get_title(loc="left").endswith("\N{HORIZONTAL ELLIPSIS}") and wide.get_xscale() == "log"
    assert [label.get_text() for label in kind.get_yticklabels()] == ["a very lon\N{HORIZONTAL ELLIPSIS}", "y", "x"]
    assert [bar.get_width() for bar in kind.patches] == pytest.approx([0.6, 0.3, 0.1])
    lines = kind.collections[0].get_segments()
    assert [segment[0][0] for segment in lines] == pytest.approx([0, 0.5, 0.5])  # the model's shares
    assert [label.get_text() for label in size.get_yticklabels()] == ["s", "m", "l"]
    assert many.get_yticklabels()[-1].get_text() == "15 others" and many.patches[-1].get_width() == pytest.approx(0.75)
    assert sum(number.patches[0].get_data().values) == pytest.approx(1)
    with pytest.raises(ValueError, match="columns must be 1 to 30 columns, got 0"):
        column_distributions([])


def test_matrices_and_bars_draw_the_numbers():
    data = np.array([[1.0, 0.4], [0.4, 1.0]])
    figure = association_matrices(["a", "b"], data, -data)
    assert [axes.images[0].get_array().tolist() for axes in figure.axes[:2]] == [data.tolist(), (-data).tolist()]
    assert all(axes.images[0].get_clim() == (-1, 1) for axes in figure.axes[:2])
    bars = column_bars(["a", "b"], {"nats": [-0.5, 2.0], "missing": [0.0, 0.0]})
    assert [bar.get_width() for bar in bars.axes[0].patches] == [-0.5, 2.0] and bars.axes[1].get_xlim() == (0, 1)
    for call in (lambda: association_matrices(["a"], data, data), lambda: column_bars(["a"], {"nats": [1.0, 2.0]})):
        with pytest.raises(ValueError, match="must"):
            call()
