import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import load_images


def test_digits_is_the_embedded_source():
    images = load_images("digits")
    assert (images.name, len(images.train), len(images.test)) == ("digits", 4000, 1000)
    assert "4,000 train and 1,000 test" in images.note


def test_a_path_with_an_array_suffix_is_a_file_whatever_its_case(tmp_path):
    pixels = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)
    with open(tmp_path / "x.NPY", "wb") as file:
        np.save(file, pixels)
    images = load_images(str(tmp_path / "x.NPY"))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([images.train, images.test]).ravel()), np.arange(80, dtype=np.uint8)
    )


def test_an_existing_directory_needs_no_slash_and_a_missing_one_with_slash_says_folder(tmp_path):
    for value in (10, 200):
        Image.fromarray(np.full((2, 3), value, np.uint8)).save(tmp_path / f"{value}.png")
    images = load_images(str(tmp_path))
    assert sorted([images.train[0, 0, 0, 0], images.test[0, 0, 0, 0]]) == [10, 200]
    with pytest.raises(ValueError, match="nowhere/: expected a folder of images, got a path with no folder there"):
        load_images("nowhere/")


def test_an_unknown_name_lists_what_would_be_right():
    with pytest.raises(ValueError, match="unknown data") as error:
        load_images("mnst")
    message = str(error.value)
    assert message.startswith("unknown data 'mnst': expected 'digits', a TFDS name (close: mnist")
    assert ".npz or .npy" in message
    assert "folder" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["huggingface:mnist", "kubric:movi_a", "../up", "", "a b"])
def test_names_of_other_registries_are_refused_before_anything_goes_to_the_network(name):
    with pytest.raises(ValueError, match="unknown data"):
        load_images(name)


def test_importing_the_package_loads_neither_tfds_nor_pillow():
    code = "import sys, vae_jax.data; print({'tensorflow_datasets', 'PIL', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
