"""Tests of experiments.streaming_speed: the timed functions on a few images, and the record."""

import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_jax import data


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import experiments.streaming_speed

    yield experiments.streaming_speed
    sys.path.pop(0)


class Counting:
    def __init__(self, shape):
        self.shape, self.read_images = shape, 0

    def read(self, indices):
        self.read_images += len(indices)
        return np.zeros((len(indices), *self.shape[1:]), np.uint8)


def test_the_timed_function_reads_every_batch(script):
    source = Counting((300, 2, 2, 1))
    assert script.reading(source, 5, 1) > 0
    assert 5 * 128 <= source.read_images <= 7 * 128  # up to two batches are read ahead


def test_the_folder_holds_each_pixel_two_by_two(script, tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (11, 28, 28, 1)).astype(np.uint8)
    source = script.folder_of_squares(images, tmp_path / "squares")
    assert source.shape == (10, 64, 64, 1)  # one image is held out
    found = {image[4:60:2, 5:60:2].tobytes() for image in source.read(range(10))}
    assert found < {image.tobytes() for image in images}
    assert len(found) == 10


@pytest.mark.slow
def test_the_record_holds_the_medians_of_the_timings(script, tmp_path, monkeypatch):
    digits = data.stream_images("digits")
    known = data.stream_images
    monkeypatch.setattr(data, "stream_images", lambda name, *rest: digits if "/" not in name else known(name))
    script.main(script.Options(rounds=2, steps=2, record=tmp_path / "record.json"))
    record = json.loads((tmp_path / "record.json").read_text())
    assert {len(values) for values in record["details"].values()} == {2}
    claims = {claim["claim"]: claim["values"][0] for claim in record["claims"]}
    for name, values in record["details"].items():
        assert claims[f"{name}, time per image"] == statistics.median(values) > 0
    ratio = claims["reading mnist, pixels, time per image"] / claims["training, in memory, time per image"]
    np.testing.assert_allclose(claims["time to read decoded files relative to training on them"], ratio)
