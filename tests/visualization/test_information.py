import numpy as np
import pytest

from vae_jax.visualization import Part, kl_bars, parts_of_a_sum


def bars(figure):
    return figure.axes[0].patches


def test_bars_are_the_nats_in_falling_order_each_under_its_own_name():
    kl = np.array([0.5, 2.0, 0.001, 1.0])
    figure = kl_bars(kl)
    np.testing.assert_allclose([bar.get_height() for bar in bars(figure)], [2.0, 1.0, 0.5, 0.001])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["z2", "z4", "z1", "z3"]
    colors = [bar.get_facecolor() for bar in bars(figure)]
    assert colors[0] == colors[1] == colors[2] != colors[3]
    assert figure.axes[0].get_title(loc="right") == "1 of 4 under 0.01 nats"


def test_a_code_that_is_all_used_has_no_note():
    assert kl_bars([1.0, 2.0]).axes[0].get_title(loc="right") == ""


def test_each_part_begins_where_the_one_before_ends():
    figure = parts_of_a_sum(Part("total", 6.0), [Part("a", 4.0), Part("b", -1.0, 0.25), Part("c", 3.0)])
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars(figure)]
    np.testing.assert_allclose([sorted(edge) for edge in edges], [(0, 6), (0, 4), (3, 4), (3, 6)])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["6.00", "4.00", "\N{MINUS SIGN}1.00 \N{PLUS-MINUS SIGN} 0.25", "3.00"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["total", "a", "b", "c"]


def test_a_limit_is_written_and_marked_where_the_frame_has_it():
    marks = lambda figure: [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_linewidth() == 1.4]
    near = parts_of_a_sum(Part("total", 6.0), [Part("a", 4.0), Part("b", 2.0)], [4.5, None])
    assert marks(near) == [4.5]
    far = parts_of_a_sum(Part("total", 6.0), [Part("a", 4.0), Part("b", 2.0)], [7.0, None])
    assert marks(far) == []
    assert [text.get_text() for text in far.axes[0].texts][1] == "4.00   (at most 7)"


@pytest.mark.parametrize("kl", [[], [[1.0]], [np.nan], [np.inf, 1.0]])
def test_wrong_nats_are_refused(kl):
    with pytest.raises(ValueError, match="kl must be finite, of shape"):
        kl_bars(kl)


@pytest.mark.parametrize("parts", [[], [Part("a", np.nan)]])
def test_wrong_parts_are_refused(parts):
    with pytest.raises(ValueError, match="total and parts must be finite, with at least one part"):
        parts_of_a_sum(Part("total", 1.0), parts)
