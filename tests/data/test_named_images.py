"""All examples of each kind of source: pixels, names and labels, none held out."""

import os

import numpy as np
import pytest
from PIL import Image

from data.test_tfds_images import image_and_label, image_feature, noise, prepared, write_dataset
from vae_jax.data import Unreadable, every_example, factors_of, load_digits, load_factor_data

GRAY = np.random.RandomState(0).randint(0, 256, (9, 5, 4, 1)).astype(np.uint8)
COLOR = np.random.RandomState(1).randint(0, 256, (3, 5, 4, 3)).astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)


def check(images, pixels, names, labels=None):
    """Asserts pixels, names and labels of the images, read in several orders."""
    assert images.shape == pixels.shape
    order = np.random.RandomState(0).permutation(len(pixels))
    for places in (np.arange(len(pixels)), order, order[:1]):
        found, own = images.read(places)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, pixels[places])
        assert images.labeled == (labels is not None)
        if labels is None:
            assert own is None
        else:
            np.testing.assert_array_equal(own, np.asarray(labels)[places])
            assert own.dtype == np.int32
    assert [images.name(place) for place in range(len(pixels))] == names


def test_the_digits_are_all_5000_with_their_splits():
    digits = load_digits()
    names = [f"train:{i}" for i in range(4000)] + [f"test:{i}" for i in range(1000)]
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    check(every_example("digits"), np.concatenate([digits.train, digits.test]), names, labels)


def test_array_files_have_rows_and_no_tenth_is_held_out(tmp_path):
    np.save(tmp_path / "a.npy", GRAY[..., 0])
    check(every_example(tmp_path / "a.npy"), GRAY, list("012345678"))
    np.save(tmp_path / "floats.npy", GRAY / 255)
    check(every_example(str(tmp_path / "floats.npy")), GRAY, list("012345678"))
    np.savez(tmp_path / "one.npz", x=GRAY, y=np.arange(9), other=np.arange(2))
    images = every_example(tmp_path / "one.npz")
    check(images, GRAY, list("012345678"), range(9))
    assert images.note == "not used: other"
    splits = {"train": GRAY[:5], "test": GRAY[7:], "val": GRAY[5:7]}
    names = [f"train:{i}" for i in range(5)] + ["validation:0", "validation:1", "test:0", "test:1"]
    np.savez(tmp_path / "some.npz", **splits, train_labels=np.arange(5))
    images = every_example(tmp_path / "some.npz")
    check(images, GRAY, names)
    assert images.note == "labels are left out, because validation and test have none"
    np.savez(tmp_path / "all.npz", **splits, y_train=range(5), y_val=[5, 6], y_test=[7, 8])
    check(every_example(tmp_path / "all.npz"), GRAY, names, range(9))


def test_pixels_of_0_and_1_become_0_and_255(tmp_path):
    binary = (GRAY > 127).astype(np.uint8)
    np.save(tmp_path / "a.npy", binary)
    check(every_example(tmp_path / "a.npy"), 255 * binary, list("012345678"))


def test_a_folder_names_each_file(tmp_path):
    folder = tmp_path / "photos"
    for i, image in enumerate(GRAY):
        save(folder / "ab"[i % 2] / f"{i}.png", image)
    order = [0, 2, 4, 6, 8, 1, 3, 5, 7]
    names = [str(folder / "ab"[i % 2] / f"{i}.png") for i in order]
    images = every_example(str(folder))
    check(images, GRAY[order], names, [i % 2 for i in order])
    assert images.note == "labels: 0 a, 1 b"
    check(every_example(folder / "a"), GRAY[::2], names[:5])  # a single folder is not a class


def test_split_folders_come_one_after_another(tmp_path):
    for i, image in enumerate(GRAY):
        save(tmp_path / ("train" if i < 6 else "test") / f"{i}.png", image)
    names = [str(tmp_path / ("train" if i < 6 else "test") / f"{i}.png") for i in range(9)]
    check(every_example(tmp_path), GRAY, names)


def test_one_picture_is_one_example_and_is_not_taken_for_binary(tmp_path):
    path = tmp_path / "photo.png"
    save(path, np.ones_like(GRAY[0]))
    check(every_example(path), np.ones_like(GRAY[:1]), [str(path)])
    check(every_example(str(path), shape=(5, 4, 3)), np.ones((1, 5, 4, 3), np.uint8), [str(path)])


def test_pictures_of_another_size_are_refused_or_resized_and_the_note_reports_it(tmp_path):
    save(tmp_path / "0.png", GRAY[0])
    save(tmp_path / "1.png", np.repeat(np.repeat(COLOR[0], 2, 0), 2, 1))
    save(tmp_path / "2.png", COLOR[1])
    with pytest.raises(ValueError, match=r"1\.png must be of 4 x 5 pixels, got 8 x 10: give --resize"):
        every_example(tmp_path, shape=(5, 4, 1))
    with pytest.raises(ValueError, match=r"0\.png must be of 1 x 1 pixels, got 4 x 5 \(2 more pictures have another"):
        every_example(tmp_path, shape=(1, 1, 1))
    images = every_example(tmp_path, shape=(5, 4, 1), resize=True)
    assert images.note == "1 images resized and cropped to 5 x 4 (height x width); 2 images made gray"
    pixels, _ = images.read([0, 1, 2])
    np.testing.assert_array_equal(pixels[0], GRAY[0])
    np.testing.assert_array_equal(pixels[2, ..., 0], Image.fromarray(COLOR[1]).convert("L"))
    gray = np.asarray(Image.fromarray(COLOR[0]).convert("L"), float)
    assert np.abs(pixels[1, ..., 0] - gray).mean() < 0.5 * np.abs(gray - gray.mean()).mean()
    assert every_example(tmp_path, resize=True).shape == (3, 5, 4, 3)  # the size of the first, in color


def test_arrays_of_another_size_are_named_or_resized(tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 8, 6), 77, np.uint8))
    with pytest.raises(ValueError, match=r"a\.npy must hold images of 5 x 4 x 3 \(height x width .*, got 8 x 6 x 1"):
        every_example(tmp_path / "a.npy", shape=(5, 4, 3))
    images = every_example(tmp_path / "a.npy", shape=(5, 4, 3), resize=True)
    check(images, np.full((3, 5, 4, 3), 77, np.uint8), ["0", "1", "2"])
    assert images.note == "all images resized and cropped from 8 x 6 x 1 to 5 x 4 x 3"


def test_all_splits_of_tfds_are_read_with_their_names(tmp_path):
    shape = (6, 5, 3)
    splits = {"train": noise(8, shape), "test": noise(3, shape), "extra": 255 - noise(2, shape)}
    data_dir = write_dataset(tmp_path, "handmade", image_and_label(shape), splits, image_feature)
    names = [f"{split}:{i}" for split, images in splits.items() for i in range(len(images))]
    found = every_example("handmade", data_dir)
    by_name = dict(zip(names, np.concatenate(list(splits.values())), strict=True))
    own = [found.name(place) for place in range(13)]  # TFDS sorts the splits
    labels = [int(name.split(":")[1]) for name in own]
    check(found, np.stack([by_name[name] for name in own]), own, labels)
    assert sorted(own) == sorted(names)


def test_mnist_is_read_in_place():
    import tensorflow_datasets as tfds

    data_dir = prepared("mnist")
    images = every_example("mnist", data_dir)
    assert images.shape == (70_000, 28, 28, 1)
    reference = {split: tfds.data_source("mnist", split=split, data_dir=data_dir) for split in ("train", "test")}
    places = [0, 59_999, 60_000, 69_999, 12_345]
    pixels, labels = images.read(places)
    for place, found, label in zip(places, pixels, labels, strict=True):
        split, row = images.name(place).split(":")
        np.testing.assert_array_equal(found, reference[split][int(row)]["image"])
        assert label == reference[split][int(row)]["label"]


def test_a_rendered_set_is_labeled_by_its_first_factor():
    images, data = every_example("squares"), load_factor_data("squares")
    places = np.array([0, 77_777, data.num_images - 1])
    pixels, labels = images.read(places)
    assert pixels.shape == (3, *data.image_shape) and (pixels.sum((1, 2)) == 64 * 255).all()
    np.testing.assert_array_equal(labels, factors_of(places, data.factor_sizes)[0])
    assert images.name(77_777) == "77777"


def test_what_cannot_be_read_is_named(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", GRAY[i])
    whole = (tmp_path / "1.png").read_bytes()
    images = every_example(tmp_path)
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable, match=r"1\.png: cannot be used as an image"):
        images.read([0, 1, 2])
    (tmp_path / "2.png").write_text("no picture")
    for bad, words in {
        tmp_path: r"2\.png: expected an image file, got contents that Pillow does not",
        tmp_path / "gone.png": r"gone\.png: expected an image file that can be read, got No such file",
        tmp_path / "gone": "expected a folder of images, got a path with no folder there",
        tmp_path / "gone.npy": r"gone\.npy: expected an \.npy file, got a path with no file there",
        "no_such_set": "unknown data 'no_such_set'",
    }.items():
        with pytest.raises(ValueError, match=words):
            every_example(bad, os.fspath(tmp_path))
    with pytest.raises(TypeError, match="data must be a name or a path, got int"):
        every_example(3)
