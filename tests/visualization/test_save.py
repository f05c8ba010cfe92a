import numpy as np
import pytest

from vae_jax.visualization import image_grid, save_figure


def test_saved_pictures_repeat_and_hold_no_time_and_no_software(tmp_path):
    figure = image_grid(np.random.default_rng(0).random((3, 28, 28, 1)))
    save_figure(figure, tmp_path / "a.png")
    save_figure(figure, tmp_path / "b.png")
    png = (tmp_path / "a.png").read_bytes()
    assert png == (tmp_path / "b.png").read_bytes()
    assert not any(chunk in png for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"Software"))


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.png"):
        save_figure(image_grid(np.zeros((1, 4, 4, 1))), tmp_path / "a.svg")
