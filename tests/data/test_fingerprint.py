import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import fingerprint, load_digits, load_factor_data, load_images, stream_images

PIXELS = np.random.RandomState(0).randint(0, 256, (40, 3, 4)).astype(np.uint8)


def write(folder, pixels=PIXELS):
    (folder / "a").mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "a" / f"{i:02d}.bmp")


def test_the_embedded_data_have_the_same_fingerprint_for_ever():
    assert fingerprint(load_digits()) == "482374e431564735"
    assert fingerprint(stream_images("digits")) == "0ba8352715b547ee"
    assert [fingerprint(load_factor_data(name)) for name in ("sprites", "squares")] == [
        "4cd8452e1dcb5003",
        "4477efe34629079b",
    ]


def test_every_pixel_label_and_split_counts():
    digits = load_digits()
    pixel, label = digits.train.copy(), digits.test_labels.copy()
    pixel[3999, 27, 27] ^= 1
    label[-1] ^= 1
    swapped = {"train": digits.test, "train_labels": digits.test_labels, "test": digits.train}
    others = [
        dataclasses.replace(digits, **change)
        for change in (
            {"train": pixel}, {"test_labels": label}, {"validation": digits.test},
            {"train_labels": None}, {"train": digits.train[:-1]},
            {**swapped, "test_labels": digits.train_labels},
        )
    ]  # fmt: skip
    assert len({fingerprint(images) for images in [digits, *others]}) == 7
    assert fingerprint(dataclasses.replace(digits, name="other", note="elsewhere")) == fingerprint(digits)


def test_the_fingerprint_depends_on_file_sizes_but_not_on_paths_or_times(tmp_path):
    write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "deeper" / "another", copy_function=shutil.copyfile)
    for opened in (load_images, stream_images):
        first = fingerprint(opened(f"{tmp_path}/one/"))
        assert fingerprint(opened(f"{tmp_path}/deeper/another/")) == first
    changed = tmp_path / "deeper" / "another" / "a" / "07.bmp"
    changed.write_bytes(changed.read_bytes() + b"\0")  # the same picture
    assert fingerprint(load_images(f"{tmp_path}/deeper/another/")) == fingerprint(load_images(f"{tmp_path}/one/"))
    assert fingerprint(stream_images(f"{tmp_path}/deeper/another/")) != fingerprint(stream_images(f"{tmp_path}/one/"))
    np.save(tmp_path / "one.npy", PIXELS)
    np.save(tmp_path / "two.npy", PIXELS[::-1])
    assert fingerprint(stream_images(f"{tmp_path}/one.npy")) != fingerprint(stream_images(f"{tmp_path}/two.npy"))


@pytest.mark.slow
def test_the_fingerprint_of_a_rendered_stream_depends_on_its_data_set():
    assert fingerprint(stream_images("squares", most_test=5)) == fingerprint(stream_images("squares", most_test=5))
    assert fingerprint(stream_images("squares", most_test=5)) != fingerprint(stream_images("sprites", most_test=5))


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="source must be Images, an ImageStream, FactorData or a Table, got ndarray"):
        fingerprint(PIXELS)
