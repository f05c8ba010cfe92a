import numpy as np
import pytest
from matplotlib.colors import to_rgba

from vae_jax.visualization import latent_scatter, principal_components
from vae_jax.visualization._latent import CLASS_COLORS

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(300, 2)) * [2.0, 1.0]


def test_principal_components_are_the_leading_eigenvectors_of_the_covariance():
    points = RNG.normal(size=(500, 6)) @ RNG.normal(size=(6, 6)) + 7
    projected, explained = principal_components(points)
    values, vectors = np.linalg.eigh(np.cov(points.T))  # ascending
    np.testing.assert_allclose(explained, values[[-1, -2]] / values.sum(), rtol=1e-10)
    expected = (points - points.mean(axis=0)) @ vectors[:, [-1, -2]]
    signs = np.sign(np.sum(projected * expected, axis=0))
    np.testing.assert_allclose(projected, signs * expected, atol=1e-9)


def test_principal_components_have_the_sign_of_their_largest_loading():
    points = np.outer(np.arange(5.0), [-3.0, 1.0, 0.0]) + np.outer([1.0, -1, 0, -1, 1], [0.0, 0.0, 0.01])
    projected, _ = principal_components(points)
    np.testing.assert_allclose(projected[:, 0], np.sqrt(10) * np.array([2.0, 1, 0, -1, -2]), atol=1e-12)
    np.testing.assert_allclose(projected[:, 1], 0.01 * np.array([1.0, -1, 0, -1, 1]), atol=1e-12)
    flipped, _ = principal_components(points[::-1])
    np.testing.assert_allclose(flipped[::-1], projected, atol=1e-12)


def test_principal_components_of_one_repeated_point_explain_nothing():
    projected, explained = principal_components(np.ones((4, 3)))
    np.testing.assert_array_equal(projected, np.zeros((4, 2)))
    np.testing.assert_array_equal(explained, [0, 0])


@pytest.mark.parametrize("count", [1, 2, 10])
def test_each_point_has_the_color_of_its_class_and_each_class_its_name_at_the_median(count):
    labels = np.arange(300) % count
    points = POINTS + 20 * np.stack([labels, labels % 2], axis=1)  # apart, so that no name is moved
    axes = latent_scatter(points, labels).axes[0]
    (dots,) = axes.collections
    drawn = {
        tuple(place): tuple(color) for place, color in zip(dots.get_offsets(), dots.get_facecolors(), strict=False)
    }
    assert len(drawn) == 300
    for point, label in zip(points, labels, strict=True):
        assert drawn[tuple(point)][:3] == to_rgba(CLASS_COLORS[label])[:3]
    assert [text.get_text() for text in axes.texts] == [str(label) for label in range(count)]
    for label, text in enumerate(axes.texts):
        np.testing.assert_allclose(text.get_position(), np.median(points[labels == label], axis=0), atol=1e-6)


def test_ten_class_colors_differ_from_one_another():
    # The smallest RGB distance in the published sequence; a typing error would give a smaller one.
    rgb = np.array([to_rgba(color)[:3] for color in CLASS_COLORS])
    distances = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)[~np.eye(10, dtype=bool)]
    assert distances.min() > 0.2


def test_names_are_text_and_not_mathematics():
    axes = latent_scatter(POINTS, np.where(POINTS[:, 0] > 0, "$a_b$", "x^2")).axes[0]
    assert [(text.get_text(), text.get_parse_math()) for text in axes.texts] == [("$a_b$", False), ("x^2", False)]


@pytest.mark.parametrize("labels", [np.arange(300) % 11, POINTS[:, 0]])
def test_many_classes_and_real_labels_have_a_color_bar(labels):
    axes = latent_scatter(POINTS, labels).axes[0]
    (dots,) = axes.collections
    assert dots.get_cmap().name == "viridis"
    (bar,) = axes.child_axes
    assert [mesh.get_alpha() for mesh in bar.collections if mesh.get_array() is not None] == [1]
    assert not axes.texts
    value = {tuple(place): level for place, level in zip(dots.get_offsets(), dots.get_array(), strict=True)}
    assert all(value[tuple(point)] == label for point, label in zip(POINTS, labels, strict=True))


def test_without_labels_there_is_one_color_and_a_unit_is_as_long_on_both_axes():
    figure = latent_scatter(POINTS, axis_labels=("a", "b"))
    axes = figure.axes[0]
    assert len(axes.collections[0].get_facecolors()) == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")
    box, x, y = axes.get_window_extent(), np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    assert box.width / x == pytest.approx(box.height / y, rel=1e-9)


def test_marked_places_are_numbered_where_they_are_and_inside_the_frame():
    places = np.array([[30.0, -2.0], [0.5, 9.0]])
    figure = latent_scatter(POINTS, marked=places, side=3.0)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]
    np.testing.assert_allclose([text.get_position() for text in axes.texts], places)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < POINTS[:, 0].min() < 30 < right
    assert bottom < POINTS[:, 1].min() < 9 < top
    assert axes.get_window_extent().width / figure.dpi == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: latent_scatter(np.zeros((3, 3))), r"points must be finite, of shape \[N, 2\]"),
        (lambda: latent_scatter(np.full((3, 2), np.inf)), "points must be finite"),
        (lambda: latent_scatter(POINTS, np.zeros(2)), r"labels must have shape \[N\] = \(300,\)"),
        (lambda: latent_scatter(POINTS, np.full(300, np.nan)), "labels must be finite"),
        (lambda: latent_scatter(POINTS, marked=np.zeros(2)), r"marked must be finite, of shape \[M, 2\]"),
        (lambda: latent_scatter(POINTS, None, ("z1",)), "axis_labels must be two"),
        (lambda: principal_components(np.zeros((5, 1))), r"points must be finite, of shape \[N, D\]"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
