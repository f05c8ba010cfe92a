"""dSprites in TFDS's format, by a small data set of the same features with images in any order."""

import dataclasses

import jax
import numpy as np
import pytest

from data.test_tfds_images import image_feature, write_dataset
from vae_jax.data import FactorData, load_factor_data, sprites
from vae_jax.data._dsprites import agreement_with_sprites

SIZES = (3, 1, 2, 1, 2)
LABELS = ("label_shape", "label_scale", "label_orientation", "label_x_position", "label_y_position")


def written(root, order):
    """Writes a data set of images in the given order of flat indices into the grid of SIZES."""
    import tensorflow_datasets as tfds

    images = np.random.default_rng(0).integers(0, 2, (12, 64, 64, 1)).astype(np.uint8)
    classes = {name: tfds.features.ClassLabel(num_classes=size) for name, size in zip(LABELS, SIZES, strict=True)}
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(64, 64, 1)), **classes})
    factors = np.stack(np.unravel_index(order, SIZES), 1).tolist()
    integers = lambda place: dict(zip(LABELS, factors[place], strict=True))
    write_dataset(root, "dsprites", features, {"train": images[order]}, image_feature, integers, "2.0.0")
    return images


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(sprites, "FACTOR_SIZES", SIZES)
    monkeypatch.setattr(sprites, "NUM_IMAGES", 12)


@pytest.mark.usefixtures("small")
def test_each_image_is_found_at_the_index_of_its_factors(tmp_path):
    images = written(tmp_path, [7, 3, 0, 11, 1, 2, 10, 4, 9, 5, 8, 6])
    data = load_factor_data("dsprites", str(tmp_path))
    found = jax.jit(FactorData.images)(data, jax.random.key(0), np.arange(12))
    np.testing.assert_array_equal(found, images)
    # The array of images is an argument of the program.
    traced = jax.make_jaxpr(jax.jit(FactorData.images))(data, jax.random.key(0), np.arange(12))
    held = [np.size(constant) for constant in (*traced.consts, *traced.jaxpr.eqns[0].params["jaxpr"].consts)]
    assert data.table.shape == (12, 512) and data.table.nbytes == 6144 and max(held, default=0) < 12
    assert data.factor_names == sprites.FACTOR_NAMES


@pytest.mark.usefixtures("small")
def test_missing_and_repeated_images_are_refused(tmp_path):
    written(tmp_path, [0, 1, 2, 3, 4, 5, 6, 7, 8, 8])
    with pytest.raises(ValueError, match="each of its 12 images once: 3 are missing and 1 are there more than once"):
        load_factor_data("dsprites", str(tmp_path))


def test_agreement_counts_images_and_pixels_that_differ():
    data = load_factor_data("sprites")
    sentence = agreement_with_sprites(data, 200)
    assert sentence.startswith(
        "sprites regenerates 100.0 % of 200 dSprites images exactly; mean number of wrong pixels"
    )
    flipped = lambda table, key, index: data.render(table, key, index).at[0, :3].set(1.0)
    sentence = agreement_with_sprites(dataclasses.replace(data, render=flipped), 200)
    assert sentence.startswith("sprites regenerates 0.0 %") and "heart 3.00" in sentence
