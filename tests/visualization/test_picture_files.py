import numpy as np
import pytest
from PIL import Image

from vae_jax.visualization import save_images

PIXELS = np.arange(0, 256, 51)
LEVELS = np.concatenate([[-0.1, 1.1], PIXELS / 255])  # the first two are clipped


def test_each_image_is_a_file_of_its_pixels(tmp_path):
    gray = np.broadcast_to(LEVELS[:, None, None, None], (8, 3, 2, 1))
    files = save_images(gray, tmp_path / "new" / "gray")
    assert [path.name for path in files] == [f"{i:04d}.png" for i in range(8)]
    for path, pixel in zip(files, [0, 255, *PIXELS], strict=True):
        np.testing.assert_array_equal(Image.open(path), np.full((3, 2), pixel))
    color = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    (tmp_path / "color").mkdir()
    for path, pixels in zip(save_images(color, tmp_path / "color", ["a", "b"]), color, strict=True):
        np.testing.assert_array_equal(Image.open(path), pixels)
    assert sorted(path.name for path in (tmp_path / "color").iterdir()) == ["a.png", "b.png"]


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    images = np.zeros((2, 3, 3, 1))
    for change, message in (
        ({"images": np.zeros((3, 3, 1))}, "images must have shape"),
        ({"images": images * np.nan}, "images must be finite"),
        ({"names": ["a"]}, "names must hold one name for each of the 2 images, got 1 names"),
        ({"folder": tmp_path}, "folder must be a new or empty folder"),
        ({"folder": tmp_path / "file"}, "folder must be a new or empty folder"),
    ):
        with pytest.raises(ValueError, match=message):
            save_images(**{"images": images, "folder": tmp_path / "new"} | change)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        save_images(images, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
