import math

import jax
import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import sprites
from vae_jax.data._checks import MOST_PIXELS, require_memory
from vae_jax.data._sources import ArrayImages

NAN, INF, HUGE = math.nan, math.inf, 10**12
IMAGES = np.zeros((50, 4, 4, 1), np.uint8)
SOURCE = ArrayImages(IMAGES)
SQUARES = data.load_factor_data("squares")
KEY = jax.random.key(0)

# (function of one number, argument that the message names, invalid numbers)
CALLS = {
    "Batches.batch_size": (lambda n: data.Batches(SOURCE, n, 0), "batch_size", (NAN, INF, -1, 0, HUGE, 2.5, "8", None)),
    "Batches.seed": (lambda n: data.Batches(SOURCE, 8, n), "seed", (NAN, INF, -1, HUGE, 0.5)),
    "Batches.process_index": (lambda n: data.Batches(SOURCE, 8, 0, process_index=n), "process_index", (NAN, -1, HUGE)),
    "Batches.process_count": (lambda n: data.Batches(SOURCE, 8, 0, process_count=n), "process_count", (NAN, 0, HUGE)),
    "Batches.threads": (lambda n: data.Batches(SOURCE, 8, 0, threads=n), "threads", (NAN, INF, -1, 0, HUGE)),
    "Batches.read_ahead": (lambda n: data.Batches(SOURCE, 8, 0, read_ahead=n), "read_ahead", (NAN, INF, -1, 0, HUGE)),
    "Batches.seek": (lambda n: data.Batches(SOURCE, 8, 0).seek(n), "batch", (NAN, INF, -1, 10**30, 1.5)),
    "hold_out.count": (lambda n: data.hold_out(SOURCE, n, 0), "count", (NAN, INF, -1, 0, 50, HUGE, 2.5)),
    "hold_out.seed": (lambda n: data.hold_out(SOURCE, 5, n), "seed", (NAN, INF, -1, HUGE, 2.5)),
    "mean_image.most": (lambda n: data.mean_image(SOURCE, n), "most", (NAN, INF, -1, 0, 10**30, 2.5)),
    "static_binarization": (lambda n: data.static_binarization(IMAGES, n), "seed", (NAN, INF, -1, HUGE, True)),
    "stream_images": (lambda n: data.stream_images("digits", most_test=n), "most_test", (NAN, INF, -1, 0, HUGE, 2.5)),
    "load_images.size": (lambda n: data.read_image("x.png", (n, 8, 1)), "shape", (NAN, INF, -1, 0, HUGE, 8.5)),
    "read_image.channels": (lambda n: data.read_image("x.png", (8, 8, n)), "channels", (NAN, INF, -1, 0, 2, 4, HUGE)),
    "draw.count": (lambda n: SQUARES.draw(KEY, n), "count", (NAN, INF, -1, 0, HUGE, 2.5)),
    "draw_pairs.count": (lambda n: SQUARES.draw_pairs(KEY, n, 1), "count", (NAN, INF, -1, 0, HUGE, 2.5)),
    "draw_pairs.num_changed": (lambda n: SQUARES.draw_pairs(KEY, 2, n), "num_changed", (NAN, INF, -1, 0, 6, HUGE, 1.5)),
    "images.indices": (lambda n: SQUARES.images(KEY, [n]), "indices", (NAN, -1, HUGE, 1.5)),
    "factors_of": (lambda n: data.factors_of(n, (3, 4)), "index", (NAN, -1, 12, HUGE, 1.5)),
    "index_of": (lambda n: data.index_of([n, 0], (3, 4)), "factors", (NAN, INF, -1, 3, HUGE, 1.5)),
    "sprites.render": (sprites.render, "index", (NAN, -1, HUGE, 1.5)),
    "render_factors.shape": (lambda n: sprites.render_factors(n, 1, 0, 0, 0), "shape", (NAN, INF, -1, 3, HUGE, 0.5)),
    "render_factors.scale": (lambda n: sprites.render_factors(0, n, 0, 0, 0), "scale", (NAN, INF, -1, 0)),
    "render_factors.orientation": (lambda n: sprites.render_factors(0, 1, n, 0, 0), "orientation", (NAN, INF, -INF)),
}  # fmt: skip


def test_invalid_numbers_are_refused_and_the_message_names_the_argument():
    for name, (call, argument, numbers) in CALLS.items():
        for number in numbers:
            with pytest.raises((ValueError, TypeError), match=argument) as caught:
                call(number)
            message = str(caught.value)
            assert "must" in message, (name, number, message)
            assert "\n" not in message, (name, number, message)
            if number in (-1, 0, HUGE):
                assert isinstance(caught.value, ValueError), (name, number, message)


def test_a_size_is_two_numbers(tmp_path):
    from PIL import Image

    for i in range(2):
        Image.fromarray(IMAGES[0, ..., 0]).save(tmp_path / f"{i}.png")
    messages = {
        (8,): "must be two numbers, height and width",
        8: "must be two numbers",
        "88": "must be two numbers",
        (0, 8): "must be at least 1, got 0",
        (NAN, 8): "must be a whole number, got nan",
        (8, HUGE): f"must be at most {MOST_PIXELS:,}, got 1,000,000,000,000",
        (MOST_PIXELS, 2): "must make at most 178,956,970 pixels",
    }
    for size, message in messages.items():
        with pytest.raises(ValueError, match=rf"size \(--size\) {message}"):
            data.load_images(tmp_path, size=size)
    with pytest.raises(TypeError, match=r"size \(--size\) must be a whole number, got 8\.5"):
        data.load_images(tmp_path, size=(8.5, 8))
    with pytest.raises(TypeError, match="data must be a name or a path, got int"):
        data.load_images(3)


def test_allocations_above_the_free_memory_are_refused():
    require_memory("a little", 1, "never said")
    with pytest.raises(
        ValueError, match=r"everything takes 1,000,000,000,000,000 bytes, but only [\d,]+ bytes of memory are free"
    ):
        require_memory("everything", 10**15, "take less")
