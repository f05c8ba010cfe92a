import numpy as np
import pytest

from vae_jax.visualization import image_grid, images_by_label, interpolations, manifold, reconstructions, traversal

SIZE = 14  # pixels a side: gaps of one pixel, wide gaps of three


def levels(*shape):
    """Uniform images with distinct gray levels, `[*shape, 14, 14, 1]`."""
    gray = (np.arange(np.prod(shape)) + 1) / (np.prod(shape) + 1)
    return np.broadcast_to(gray.reshape(*shape, 1, 1, 1), (*shape, SIZE, SIZE, 1)).astype(np.float32)


def tiles_of(figure, tops, lefts):
    """Gray level of the tile at each corner, `[R, C]`, after a check that each tile is uniform."""
    picture = np.asarray(figure.axes[0].images[0].get_array())
    tiles = np.array([[picture[top : top + SIZE, left : left + SIZE] for left in lefts] for top in tops])
    assert (np.ptp(tiles, axis=(2, 3, 4)) == 0).all()
    return tiles[:, :, 0, 0, 0]


def corners(*gaps):
    return np.concatenate([[0], np.cumsum(SIZE + np.array(gaps))]).astype(int)


def row_labels(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def column_labels(figure):
    return [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_grid_reads_row_by_row():
    images = levels(6)
    np.testing.assert_array_equal(
        tiles_of(image_grid(images), corners(1), corners(1, 1)), images[:, 0, 0, 0].reshape(2, 3)
    )


def test_the_last_row_of_a_grid_may_be_short():
    images = levels(7)
    tiles = tiles_of(image_grid(images), corners(1, 1), corners(1, 1))
    np.testing.assert_array_equal(tiles.ravel(), [*images[:, 0, 0, 0], 1.0, 1.0])  # white if there is no image


def test_each_label_has_a_row():
    images = levels(3, 2)
    figure = images_by_label(images, np.array([4, 0, 7]))
    np.testing.assert_array_equal(tiles_of(figure, corners(1, 1), corners(1)), images[:, :, 0, 0, 0])
    assert row_labels(figure) == ["label 4", "label 0", "label 7"]
    assert row_labels(images_by_label(images, ["cat", "dog", "owl"])) == ["cat", "dog", "owl"]
    with pytest.raises(ValueError, match=r"labels must have shape \[L\] = \(3,\) as in images, got shape \(2,\)"):
        images_by_label(images, [1, 2])


def test_uint8_and_float_and_color_agree():
    gray = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 1), np.uint8)
    pictures = [
        np.asarray(image_grid(images).axes[0].images[0].get_array())
        for images in (gray, gray / 255.0, np.repeat(gray, 3, axis=-1))
    ]
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-6)
    np.testing.assert_array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("side", [8, 28, 64])
def test_a_small_image_is_drawn_at_whole_pixels_per_pixel(side):
    figure = image_grid(levels(20)[:, :1, :1] * np.ones((20, side, side, 1)))
    axes = figure.axes[0]
    figure.draw_without_rendering()
    box, picture = axes.get_window_extent(), axes.images[0].get_array()
    scales = box.width / picture.shape[1], box.height / picture.shape[0]
    assert scales[0] == pytest.approx(scales[1], abs=1e-6) == pytest.approx(round(scales[0]), abs=1e-6)
    assert (box.x0, box.y0) == pytest.approx((round(box.x0), round(box.y0)), abs=1e-6)
    assert axes.images[0].get_interpolation() == "nearest"


def test_each_original_is_over_its_reconstruction_in_even_pairs_of_rows():
    images = levels(24)
    above, below = images[:12], images[12:]
    figure = reconstructions(above, below)
    drawn = tiles_of(figure, corners(1, 3, 1), corners(1, 1, 1, 1, 1))
    np.testing.assert_array_equal(drawn[[0, 2]].ravel(), above[:, 0, 0, 0])
    np.testing.assert_array_equal(drawn[[1, 3]].ravel(), below[:, 0, 0, 0])
    assert row_labels(figure) == ["original", "reconstruction"] * 2


def test_interpolations_pair_line_and_great_circle_with_the_endpoints_apart():
    images = levels(2, 3, 4)
    figure = interpolations(images[0], images[1])
    drawn = tiles_of(figure, corners(1, 3, 1, 3, 1), corners(3, 1, 3))
    np.testing.assert_array_equal(drawn[0::2], images[0, ..., 0, 0, 0])
    np.testing.assert_array_equal(drawn[1::2], images[1, ..., 0, 0, 0])
    assert row_labels(figure) == ["line", "great circle"] * 3
    assert column_labels(figure) == ["start", "end"]
    np.testing.assert_allclose(figure.axes[0].get_xticks(), corners(3, 1, 3)[[0, -1]] + SIZE / 2)


def test_traversal_is_sorted_by_kl_with_ties_in_order():
    images, kl = levels(4, 3), np.array([0.004, 2.41, -0.001, 2.41])
    figure = traversal(images, kl, np.array([-1.5, 0.0, 1.5]))
    drawn = tiles_of(figure, corners(1, 1, 1), corners(1, 1))
    np.testing.assert_array_equal(drawn, images[[1, 3, 0, 2], ..., 0, 0, 0])
    assert row_labels(figure) == ["z2   2.41 nats", "z4   2.41 nats", "z1   0.00 nats", "z3   0.00 nats"]
    assert column_labels(figure) == ["\N{MINUS SIGN}1.5", "0", "1.5"]


def test_traversal_of_many_dimensions_shows_the_first_sixteen_and_counts_the_rest():
    kl = np.random.default_rng(0).permutation(64) / 10
    images = levels(64, 2)
    figure = traversal(images, kl, np.array([-1.0, 1.0]))
    drawn = tiles_of(figure, corners(*[1] * 15), corners(1))
    np.testing.assert_array_equal(drawn, images[np.argsort(-kl)[:16], ..., 0, 0, 0])
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "48 more dimensions left out, of 4.70 nats or less each"
    ]


def test_traversal_without_kl_keeps_the_order():
    images = levels(17, 1)
    figure = traversal(images, None, np.zeros(1))
    np.testing.assert_array_equal(tiles_of(figure, corners(*[1] * 15), [0]), images[:16, ..., 0, 0, 0])
    assert row_labels(figure) == [f"z{index}" for index in range(1, 17)]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 more dimension left out"]


def test_manifold_has_z1_to_the_right_z2_upwards_no_gaps_and_its_quantiles():
    images = levels(5, 5)
    figure = manifold(images)
    drawn = tiles_of(figure, corners(0, 0, 0, 0), corners(0, 0, 0, 0))
    np.testing.assert_array_equal(drawn, images[::-1, ..., 0, 0, 0])
    # Phi^-1(0.1) and Phi^-1(0.3) from tables of the normal distribution.
    deviations = ["\N{MINUS SIGN}1.28", "\N{MINUS SIGN}0.52", "0.00", "0.52", "1.28"]
    assert column_labels(figure) == row_labels(figure) == deviations
    axes = figure.axes[0]
    assert (np.diff(axes.get_yticks()) < 0).all()  # the picture's rows count downwards, so z2 grows upwards
    top = next(child for child in axes.child_axes if child.get_xlabel())
    assert [text.get_text() for text in top.get_xticklabels()] == ["10%", "30%", "50%", "70%", "90%"]


GOOD = levels(2, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image_grid(GOOD), r"images must have shape \[N, H, W, C\].*got shape \(2, 2, 14, 14, 1\)"),
        (lambda: image_grid(np.zeros((1, 4, 4, 2))), "images must have shape"),
        (lambda: image_grid(np.zeros((0, 4, 4, 1))), "images must have shape"),
        (lambda: image_grid(np.full((1, 4, 4, 1), np.nan)), "images must be finite, got 16"),
        (lambda: image_grid(np.full((1, 4, 4, 1), 200.0)), "images must be floats in"),
        (lambda: reconstructions(GOOD[0], GOOD[0, :1]), "reconstructions must have the shape of originals"),
        (lambda: interpolations(GOOD, GOOD[:1]), "great_circle must have the shape of linear"),
        (lambda: interpolations(GOOD[:, :1], GOOD[:, :1]), "linear must hold both endpoints"),
        (lambda: traversal(GOOD, None, np.zeros(3)), r"values must have shape \[V\] = \(2,\)"),
        (lambda: traversal(GOOD, np.zeros(3), np.zeros(2)), r"kl must be finite, of shape \[D\] = \(2,\)"),
        (lambda: manifold(levels(2, 3)), "images must be a square grid"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(40, 1), (144, 1), (1, 144)])
def test_a_figure_of_very_tall_or_wide_images_has_the_size_of_any_other(shape):
    images = np.zeros((96, *shape, 1), np.float32)
    assert max(image_grid(images).get_size_inches()) < 20
    assert max(reconstructions(images[:24], images[:24]).get_size_inches()) < 20
