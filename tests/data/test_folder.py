import numpy as np
import pytest
from PIL import Image

from vae_jax.data import load_folder

GREY = np.random.RandomState(0).randint(0, 256, (6, 5, 4)).astype(np.uint8)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def test_pngs_come_back_bit_for_bit_sorted_and_labelled_by_subfolder(tmp_path):
    for index, pixels in enumerate(GREY):
        write(tmp_path / "train" / "ab"[index % 2] / "deeper" / f"{index}.png", pixels)
        write(tmp_path / "test" / "b" / f"{index}.PNG", 255 - pixels)
    (tmp_path / "train" / "a" / "notes.txt").write_text("passed over")
    (tmp_path / "train" / "a" / "._0.png").write_text("hidden")
    images = load_folder(str(tmp_path))
    np.testing.assert_array_equal(images.train, GREY[[0, 2, 4, 1, 3, 5], ..., None])
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(images.test, 255 - GREY[..., None])
    assert images.test_labels.tolist() == [1] * 6
    assert images.note.endswith("6 train and 6 test images, the source's own splits; labels: 0 a, 1 b")


def test_without_splits_a_tenth_is_held_out_and_one_subfolder_is_no_class(tmp_path):
    for index, pixels in enumerate(GREY):
        write(tmp_path / "only" / f"{index}.bmp", pixels)
    images = load_folder(f"{tmp_path}/")
    assert images.train.shape == (5, 5, 4, 1)
    assert images.test.shape == (1, 5, 4, 1)
    assert images.train_labels is None
    assert images.name == tmp_path.name
    assert {x.tobytes() for x in [*images.train, *images.test]} == {x.tobytes() for x in GREY}


def test_one_colour_image_makes_all_rgb_and_grey_palettes_stay_grey(tmp_path):
    write(tmp_path / "a.png", GREY[0])
    Image.fromarray(GREY[1]).convert("P").save(tmp_path / "b.png")
    Image.fromarray(GREY[2] > 127).save(tmp_path / "c.png")
    grey = load_folder(str(tmp_path))
    everything = np.concatenate([grey.train, grey.test])
    assert everything.shape == (3, 5, 4, 1)
    assert {x.tobytes() for x in everything} == {
        x.tobytes() for x in (GREY[0], GREY[1], (GREY[2] > 127) * np.uint8(255))
    }
    colour = np.random.RandomState(1).randint(0, 256, (5, 4, 3)).astype(np.uint8)
    write(tmp_path / "d.png", colour)
    mixed = load_folder(str(tmp_path))
    found = {x.tobytes() for x in [*mixed.train, *mixed.test]}
    assert found >= {colour.tobytes(), np.repeat(GREY[0][..., None], 3, -1).tobytes()}


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    rgba = np.dstack([GREY[0], GREY[1], GREY[2], np.full_like(GREY[0], 255)])
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
    write(tmp_path / "a.png", GREY[0])
    with pytest.raises(ValueError, match="expected at least 2 images"):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GREY[0, :, :3])
    with pytest.raises(
        ValueError, match=r"b\.png: expected all images to have one size, got 3 x 5 where .*a\.png is 4 x 5"
    ):
        load_folder(str(tmp_path))
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"b\.png: expected an image file, got contents that Pillow does not recognise"
    ):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GREY[0])
    content = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"b\.png: "):
        load_folder(str(tmp_path))
    write(tmp_path / "b.png", GREY[0].astype(np.uint16) * 256)
    with pytest.raises(ValueError, match=r"b\.png: expected 8 bits a channel, got mode I;16"):
        load_folder(str(tmp_path))
    (tmp_path / "b.png").unlink()
    frames = [Image.fromarray(pixels) for pixels in GREY]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"b\.gif: expected a still image, got 6 frames"):
        load_folder(str(tmp_path))
