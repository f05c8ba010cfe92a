import numpy as np
import pytest

from vae_jax.data._arrays import as_labels, as_pixels, expand_binary, hold_out_tenth


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_byte_survives_the_way_through_floats(dtype):
    bytes_ = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(as_pixels((bytes_ / 255).astype(dtype), "x"), bytes_)


def test_bool_becomes_0_and_255_and_a_channel_axis_is_added():
    pixels = as_pixels(np.array([[[True, False]]]), "x")
    assert pixels.shape == (1, 1, 2, 1)
    assert pixels.dtype == np.uint8
    assert pixels.ravel().tolist() == [255, 0]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 3)), ValueError, r"expected images of shape \[N, H, W\] or \[N, H, W, C\], got shape \(2, 3\)"),
        (np.zeros((0, 4, 4)), ValueError, r"at least one image .* got shape \(0, 4, 4, 1\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), ValueError, r"1 or 3 channels .*drop the alpha channel"),
        (np.zeros((2, 3, 8, 8), np.uint8), ValueError, r"1 or 3 channels .*np.moveaxis\(images, 1, -1\)"),
        (np.array([[[0.0, np.nan]]]), ValueError, "expected finite pixels, got NaN or infinity"),
        (np.array([[[0.0, np.inf]]]), ValueError, "expected finite pixels, got NaN or infinity"),
        (np.array([[[0.0, 255.0]]]), ValueError, r"expected floats in \[0, 1\], got values from 0 to 255"),
        (np.array([[[-0.5, 0.5]]]), ValueError, r"expected floats in \[0, 1\], got values from -0.5 to 0.5"),
        (np.zeros((2, 4, 4), np.int64), TypeError, r"uint8, bool or floating .* got int64; .*astype\(np.uint8\)"),
        (np.zeros((2, 4, 4), complex), TypeError, "got complex128"),
    ],
)
def test_what_cannot_be_pixels_is_refused_in_one_sentence_that_names_the_source(images, error, message):
    with pytest.raises(error, match=f"^there: .*{message}") as caught:
        as_pixels(images, "there")
    assert "\n" not in str(caught.value)


def test_labels_are_integers_one_an_image():
    assert as_labels(np.array([[3], [5]], np.uint8), 2, "y").tolist() == [3, 5]
    with pytest.raises(ValueError, match=r"y: expected one label for each of the 3 images, got shape \(2,\)"):
        as_labels(np.array([3, 5]), 3, "y")
    with pytest.raises(TypeError, match="y: expected integer labels, got dtype float64"):
        as_labels(np.array([3.0, 5.0]), 2, "y")


def test_binary_pixels_are_expanded_only_if_all_splits_are_binary():
    binary, gray = np.array([0, 1], np.uint8), np.array([0, 2], np.uint8)
    assert [x.tolist() for x in expand_binary(binary, binary)] == [[0, 255], [0, 255]]
    assert [x.tolist() for x in expand_binary(binary, gray)] == [[0, 1], [0, 2]]


def test_a_fixed_tenth_is_held_out_with_its_labels():
    images = np.arange(95, dtype=np.uint8)
    train, train_labels, test, test_labels = hold_out_tenth(images, images.astype(np.int32), "x")
    assert len(test) == 9
    assert sorted([*train, *test]) == images.tolist()
    assert (train == train_labels).all()
    assert (test == test_labels).all()
    assert test.tolist() == [2, 13, 16, 30, 33, 56, 61, 62, 80]  # pinned: the split must never change
    with pytest.raises(ValueError, match="x: expected at least 2 images, one of them to hold out as test, got 1"):
        hold_out_tenth(images[:1], None, "x")
    assert [len(part) for part in hold_out_tenth(images[:2], None, "x")[::2]] == [1, 1]
