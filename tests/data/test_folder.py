import os
import re

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import fingerprint, load_folder, load_images, stream_images

GRAY = np.random.RandomState(0).randint(0, 256, (6, 5, 4)).astype(np.uint8)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def test_pngs_come_back_bit_for_bit_sorted_and_labeled_by_subfolder(tmp_path):
    for index, pixels in enumerate(GRAY):
        write(tmp_path / "train" / "ab"[index % 2] / "deeper" / f"{index}.png", pixels)
        write(tmp_path / "test" / "b" / f"{index}.PNG", 255 - pixels)
    (tmp_path / "train" / "a" / "notes.txt").write_text("ignored")
    (tmp_path / "train" / "a" / "._0.png").write_text("hidden")
    images = load_folder(str(tmp_path))
    np.testing.assert_array_equal(images.train, GRAY[[0, 2, 4, 1, 3, 5], ..., None])
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(images.test, 255 - GRAY[..., None])
    assert images.test_labels.tolist() == [1] * 6
    assert images.note.endswith("6 train and 6 test images, the source's own splits; labels: 0 a, 1 b")


def test_without_splits_a_tenth_is_held_out_and_one_subfolder_is_no_class(tmp_path):
    for index, pixels in enumerate(GRAY):
        write(tmp_path / "only" / f"{index}.bmp", pixels)
    images = load_folder(f"{tmp_path}/")
    assert images.train.shape == (5, 5, 4, 1)
    assert images.test.shape == (1, 5, 4, 1)
    assert images.train_labels is None
    assert images.name == tmp_path.name
    assert {x.tobytes() for x in [*images.train, *images.test]} == {x.tobytes() for x in GRAY}


def test_one_color_image_makes_all_rgb_and_gray_palettes_stay_gray(tmp_path):
    write(tmp_path / "a.png", GRAY[0])
    Image.fromarray(GRAY[1]).convert("P").save(tmp_path / "b.png")
    Image.fromarray(GRAY[2] > 127).save(tmp_path / "c.png")
    gray = load_folder(str(tmp_path))
    everything = np.concatenate([gray.train, gray.test])
    assert everything.shape == (3, 5, 4, 1)
    assert {x.tobytes() for x in everything} == {
        x.tobytes() for x in (GRAY[0], GRAY[1], (GRAY[2] > 127) * np.uint8(255))
    }
    color = np.random.RandomState(1).randint(0, 256, (5, 4, 3)).astype(np.uint8)
    write(tmp_path / "d.png", color)
    mixed = load_folder(str(tmp_path))
    found = {x.tobytes() for x in [*mixed.train, *mixed.test]}
    assert found >= {color.tobytes(), np.repeat(GRAY[0][..., None], 3, -1).tobytes()}


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    rgba = np.dstack([GRAY[0], GRAY[1], GRAY[2], np.full_like(GRAY[0], 255)])
    for name in "ab":
        write(tmp_path / f"{name}.png", rgba)
    np.testing.assert_array_equal(load_folder(str(tmp_path)).train[0], rgba[..., :3])
    rgba[0, 0, 3] = 0
    write(tmp_path / "b.png", rgba)
    with pytest.raises(ValueError, match=r"b\.png: .*without transparency; flatten it"):
        load_folder(str(tmp_path))


def test_bad_folders_are_refused_naming_file_and_both_sizes(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of images, got a path with no folder there"):
        load_folder(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="expected at least one image file"):
        load_folder(str(tmp_path))
    write(tmp_path / "a.png", GRAY[0])
    with pytest.raises(ValueError, match="expected at least 2 images"):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GRAY[0, :, :3])
    with pytest.raises(
        ValueError,
        match=r"b\.png: expected all images to have one size, got 3 x 5, but .*a\.png is 4 x 5; give --size HE",
    ):
        load_folder(str(tmp_path))
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"b\.png: expected an image file, got contents that Pillow does not recognize"
    ):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GRAY[0])
    content = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"b\.png: "):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GRAY[0].astype(np.uint16) * 256)
    with pytest.raises(ValueError, match=r"b\.png: expected 8 bits a channel, got mode I;16"):
        load_folder(str(tmp_path))
    (tmp_path / "b.png").unlink()
    frames = [Image.fromarray(pixels) for pixels in GRAY]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"b\.gif: expected a still image, got 6 frames"):
        load_folder(str(tmp_path))


def write_splits(root, *names, suffix="png", count=3):
    """Writes pictures with a gray level per folder: 10, 20, ..."""
    for level, name in enumerate(names):
        for i in range(count):
            write(root / name / f"{i}.{suffix}", np.full((5, 4), 10 * (level + 1), np.uint8))


def grays(pixels):
    return None if pixels is None else sorted(set(pixels.ravel().tolist()))


@pytest.mark.parametrize(
    ("names", "test", "validation", "note"),
    [
        (("train", "valid", "test"), 30, 20, "3 train, 3 validation and 3 test images, the source's own splits"),
        (("Training", "TESTING", "Val"), 20, 30, "3 train, 3 validation and 3 test images, the source's own splits"),
        (("TRAIN", "Test", "__MACOSX", ".hidden", "@eaDir"), 20, None, "3 train and 3 test images, the source's own s"),
        (
            ("train", "val"),
            20,
            None,
            "3 train and 3 test images, the source's own splits; the test split is the folder val",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_folders_named_like_splits_are_splits_in_any_case_and_spelling(tmp_path, names, test, validation, note):
    write_splits(tmp_path, *names)
    (tmp_path / "annotations").mkdir()  # without pictures
    (tmp_path / "Thumbs.db").write_text("")
    images, stream = load_folder(tmp_path), stream_images(tmp_path)
    held = None if validation is None else [validation]
    assert (grays(images.train), grays(images.test), grays(images.validation)) == ([10], [test], held)
    assert (grays(stream.train.read(range(3))), grays(stream.test), grays(stream.validation)) == ([10], [test], held)
    assert images.note.startswith(f"{tmp_path.name}: {note}")
    assert stream.note == images.note


def test_labels_of_three_splits_are_of_the_same_classes(tmp_path):
    write_splits(tmp_path, "train/b", "train/c", "val/a", "val/c", "test/c", count=2)
    images = load_folder(tmp_path)
    assert images.train_labels.tolist() == [1, 1, 2, 2]
    assert images.validation_labels.tolist() == [0, 0, 2, 2]
    assert images.test_labels.tolist() == [2, 2]
    assert images.note.endswith(
        "4 train, 4 validation and 2 test images, the source's own splits; labels: 0 a, 1 b, 2 c"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("test", "val"), "expected a folder train beside test and val, got none; if all of them are classes, move "),
        (("train", "Train", "test"), "expected one folder of train images, got Train and train."),
        (("train", "val", "validation"), "expected one folder of validation images, got val and validation."),
        (
            ("train", "car", "bus"),
            "expected all pictures to be in the split folders train, also got pictures in bus, car; mo",
        ),
        (
            ("train", "test", "."),
            "expected all pictures to be in the split folders train, test, also got 3 pictures outside",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_folders_that_are_partly_splits_are_refused_by_their_names(tmp_path, names, message):
    write_splits(tmp_path, *names)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: {message}")):
        load_images(tmp_path)


def test_an_empty_split_is_refused(tmp_path):
    write_splits(tmp_path, "train")
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="test: expected at least one image file"):
        load_folder(tmp_path)


def test_links_are_followed_without_loops_and_nothing_is_passed_over_in_silence(tmp_path):
    root, outside = tmp_path / "set", tmp_path / "outside"
    write_splits(root, "b", suffix="png")
    write_splits(root, "b", suffix="tif")
    write_splits(outside, "deep", ".")
    (root / "a").symlink_to(outside)
    (root / "again").symlink_to(outside / "deep")  # is read as a/deep
    (root / "b" / "up").symlink_to("..")
    (root / "b" / "self").symlink_to("self")
    os.symlink(outside / "0.png", root / "b" / "linked.png")
    for name in ("1.heic", "2.HEIC", "3.svg"):
        (root / "b" / name).write_text("")
    images = load_folder(root)
    assert len(images.train) + len(images.test) == 13
    assert np.bincount(np.concatenate([images.train_labels, images.test_labels])).tolist() == [6, 7]
    assert images.note.endswith(
        "; labels: 0 a, 1 b; skipped: 2 .heic files, 1 .svg file, 1 link that leads nowhere (b/self), "
        "1 link to a folder that is already read (again), 1 link to a folder that is already read (b/up)"
    )
    assert stream_images(root).note == images.note
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "all").symlink_to(root)
    assert len(load_folder(tmp_path / "links").train) == 12


def test_pictures_of_several_sizes_are_resized_and_cropped_if_a_size_is_given(tmp_path):
    wide = np.zeros((8, 32), np.uint8)
    wide[:, 12:20] = 200
    for i in range(4):
        write(tmp_path / f"{i}.png", (wide, wide.T, wide[:, 12:20], wide[::2, ::2])[i])
    with pytest.raises(ValueError, match=r"1\.png: expected all images to have one size, got 8 x 32, but .*--size HE"):
        load_images(tmp_path)
    images, stream = load_images(tmp_path, size=(8, 8)), stream_images(tmp_path, size=[8, 8])
    everything = np.concatenate([images.train, images.test]).astype(int)
    assert everything.shape == (4, 8, 8, 1)
    np.testing.assert_allclose(everything, 200, atol=50)  # the middle of all four; one of them is enlarged
    assert "; 3 images resized and cropped to 8 x 8 (height x width)" in images.note
    np.testing.assert_array_equal(stream.train.read(range(3)), images.train)
    assert fingerprint(stream) != fingerprint(stream_images(tmp_path, size=(8, 6)))
    for data in ("digits", "mnist", "x.npz", "sprites"):
        with pytest.raises(
            ValueError, match=f"size .--size. resizes the pictures of a folder, but data '{data}' is no"
        ):
            load_images(data, size=(8, 8))


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    write_splits(tmp_path, ".")
    monkeypatch.setattr("vae_jax.data._checks._free_memory", lambda: 59)
    with pytest.raises(
        ValueError, match=r"3 images of \(5, 4, 1\) takes 60 bytes, but only 59 bytes of memory are free"
    ):
        load_folder(tmp_path)
    assert len(stream_images(tmp_path).test) == 1
