"""Figures of disentanglement: the positions of values, and refused arguments."""

import numpy as np
import pytest

from vae_jax.visualization._disentanglement import information_map, response_maps, score_strips, scores_by_step


def test_information_map_has_a_cell_for_each_latent_and_factor_with_its_share():
    shares = np.array([[0.9, 0.0], [0.1, 0.5], [0.001, 0.0]])
    axes = information_map(shares, ("shape", "position_x")).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), shares.T)
    assert [text.get_text() for text in axes.texts] == ["0.90", "0.10", "0.50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shape", "position x"]
    with pytest.raises(ValueError, match=r"shares must be finite, of shape \[D, 2\]"):
        information_map(shares.T, ("a", "b"))


def test_response_maps_show_each_latent_over_the_two_factors():
    responses = np.random.default_rng(0).normal(size=(6, 4, 5))
    figure = response_maps(responses, [f"z{i}" for i in range(6)], "position_y", "position_x")
    maps = figure.axes[0].child_axes
    assert [axes.get_title(loc="left") for axes in maps] == [f"z{i}" for i in range(6)]
    np.testing.assert_array_equal(maps[4].images[0].get_array(), responses[4])
    assert "right: position x   down: position y" in figure.axes[0].texts[0].get_text()
    with pytest.raises(ValueError, match="responses must be finite"):
        response_maps(responses * np.nan, ["z"] * 6, "y", "x")


def test_strips_show_every_model_its_median_and_the_band_from_floor_to_ceiling():
    scores = {"mig": {"beta 1": [0.1, 0.2, 0.4], "beta 4": [0.3]}, "sap": {"beta 1": [0.05], "beta 4": [0.1]}}
    axes = score_strips(scores, {"mig": 0.9, "sap": 0.24}, {"mig": 0.0, "sap": 0.01}).axes[0]
    drawn = [line.get_xdata().tolist() for line in axes.lines]
    assert [0.0, 0.9] in drawn and [0.01, 0.24] in drawn
    assert [0.1, 0.2, 0.4] in drawn and [0.2, 0.2] in drawn
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["beta 1", "beta 4"]
    with pytest.raises(ValueError, match="scores must hold 1 to 6 settings, got 7"):
        score_strips({"mig": {str(i): [0.1] for i in range(7)}}, {}, {})


def test_curves_are_medians_with_bars_of_the_range():
    panels = {"MIG": {"beta 4": {200: [0.1, 0.5, 0.2], 100: [0.0, 0.1, 0.3]}}}
    (axes,) = scores_by_step(panels).axes[0].child_axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[100, 0.1], [200, 0.2]])
    bars = [path.vertices.tolist() for path in axes.collections[0].get_paths()]
    assert bars == [[[100, 0.0], [100, 0.3]], [[200, 0.1], [200, 0.5]]]
    panels["MIG"]["beta 1"] = {100: [0.2], 200: [0.3]}
    (axes,) = scores_by_step(panels).axes[0].child_axes
    np.testing.assert_allclose([line.get_xdata() for line in axes.lines], [[99.25, 199.25], [100.75, 200.75]])
    with pytest.raises(ValueError, match="panels must hold 1 to 6 settings, got 0"):
        scores_by_step({})
