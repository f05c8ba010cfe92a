"""Layout of text in a table of difficult figures."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from vae_jax import visualization


def noise(*shape):
    return np.random.default_rng(0).random(shape)


def history(epochs, *, elbo=True):
    keys = ("elbo", "rate", "distortion") if elbo else ("loss", "distortion")
    signs = {"elbo": -1}
    return [
        {"epoch": epoch}
        | {
            f"{split}/{key}": signs.get(key, 1) * (90 + shift + 450 * np.exp(-epoch))
            for split, shift in (("train", 0.0), ("validation", 2.0))
            for key in keys
        }
        for epoch in range(1, epochs + 1)
    ]


POINTS = np.random.default_rng(1).normal(size=(200, 2))
NAMES = np.array(
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Bag", "$5 bag", "Ankle boot"]
)
VALUES = np.linspace(-3, 3, 11)
RATE = visualization.Part("average KL", 27.04, 0.165)
RATE_PARTS = [
    visualization.Part("mutual information of image and code", 6.9, 0.007),
    visualization.Part("total correlation", 19.95, 0.16),
    visualization.Part("dimension-wise KL", 0.19, 0.018),
]
SWEEP = (
    np.array([0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10, 30, 100]),
    np.array([62, 52, 37, 32, 27, 23, 19.5, 10.5, 6.2, 2, 0]),
    np.array([77, 76.5, 77.5, 79, 81.5, 84.6, 89, 110, 132, 172, 206]),
)

FIGURES = {
    "curves of 1 epoch": lambda: visualization.training_curves(history(1)),
    "curves of 12 epochs": lambda: visualization.training_curves(history(12)),
    "curves of 300 epochs": lambda: visualization.training_curves(history(300)),
    "curves of an autoencoder": lambda: visualization.training_curves(history(30, elbo=False)),
    "one image": lambda: visualization.image_grid(noise(1, 28, 28, 1)),
    "many large images": lambda: visualization.image_grid(noise(11, 256, 192, 3)),
    "24 reconstructions": lambda: visualization.reconstructions(noise(24, 28, 28, 1), noise(24, 28, 28, 1)),
    "1 reconstruction": lambda: visualization.reconstructions(noise(1, 8, 8, 1), noise(1, 8, 8, 1)),
    "interpolations": lambda: visualization.interpolations(noise(3, 9, 64, 64, 3), noise(3, 9, 64, 64, 3)),
    "traversal of 1": lambda: visualization.traversal(noise(1, 11, 28, 28, 1), np.array([2.4]), VALUES),
    "traversal of 64": lambda: visualization.traversal(noise(64, 11, 64, 64, 3), np.arange(64.0) * 10, VALUES),
    "traversal in 1 step": lambda: visualization.traversal(noise(3, 1, 28, 28, 1), None, np.zeros(1)),
    "traversal in 41 steps": lambda: visualization.traversal(
        noise(3, 41, 28, 28, 1), None, np.linspace(-2.95, 2.95, 41)
    ),
    "manifold of 1": lambda: visualization.manifold(noise(1, 1, 28, 28, 1)),
    "manifold of 4": lambda: visualization.manifold(noise(4, 4, 28, 28, 1)),
    "manifold of 20": lambda: visualization.manifold(noise(20, 20, 28, 28, 1)),
    "collapsed classes": lambda: visualization.latent_scatter(1e-4 * POINTS, NAMES[np.arange(200) % 10]),
    "identical points": lambda: visualization.latent_scatter(np.ones((200, 2)), NAMES[np.arange(200) % 10]),
    "flat scatter": lambda: visualization.latent_scatter(POINTS * [1, 1e-3], NAMES[np.arange(200) % 10]),
    "tall scatter": lambda: visualization.latent_scatter(POINTS * [1e-3, 1], np.arange(200) % 2),
    "scatter without labels": lambda: visualization.latent_scatter(
        POINTS, None, ("a rather long label of the axis", "z9")
    ),
    "continuous labels": lambda: visualization.latent_scatter(POINTS, 1000 * POINTS[:, 0]),
    "bounds of 1 epoch": lambda: visualization.bounds_by_epoch({"VAE": [{1: 120.0}]}),
    "bounds of 2 models": lambda: visualization.bounds_by_epoch(
        {name: [{e: 90 + 60 / e for e in range(1, 1001)}] * 3 for name in ("IWAE gradient, 20 samples", "DReG")}
    ),
    "KL of 1 dimension": lambda: visualization.kl_bars([2.5]),
    "KL of 24 dimensions": lambda: visualization.kl_bars(np.arange(24.0) / 20),
    "KL of 500 collapsed dimensions": lambda: visualization.kl_bars(np.full(500, 1e-4)),
    "parts of a rate": lambda: visualization.parts_of_a_sum(RATE, RATE_PARTS, [6.91, None, None]),
    "parts of almost nothing": lambda: visualization.parts_of_a_sum(
        visualization.Part("total", 0.01, 0.2),
        [visualization.Part("a part below nothing", -0.02), visualization.Part("b", 0.03, 0.2)],
        [6.9, None],
    ),
    "rate and distortion": lambda: visualization.rate_distortion(*SWEEP),
    "rate and distortion of 1 model": lambda: visualization.rate_distortion([1.0], [27.0], [81.5]),
    "rate and distortion of models in one place": lambda: visualization.rate_distortion(
        [30, 100, 300, 1000, 3000, 10000], [1e-3, 1e-4, 0, 0, 0, 0], [206.1, 206.2, 206.2, 206.2, 206.2, 206.2]
    ),
    "200 named classes": lambda: visualization.latent_scatter(POINTS, np.array([f"class {i:03d}" for i in range(200)])),
}


def drawn_texts(monkeypatch, figure):
    """Texts that are drawn, and their boxes; labels of ticks outside an axis's range are not."""
    texts = []
    draw = Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text():
            texts.append(self)
        return draw(self, renderer, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", record)
        figure.savefig(io.BytesIO(), format="png", dpi=figure.dpi)
    unique = list(dict.fromkeys(texts))
    return unique, [text.get_window_extent() for text in unique]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_every_text_is_inside_the_canvas_apart_from_the_others_and_readable(monkeypatch, name):
    figure = FIGURES[name]()
    texts, boxes = drawn_texts(monkeypatch, figure)
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
        assert text.get_fontsize() >= 9, text
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            # Boxes include line spacing, so that an overlap of two pixels at 192 dpi is allowed.
            assert min(width, height) <= 2, (name, texts[index], texts[boxes.index(other)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["curves of 12 epochs", "traversal of 1", "manifold of 4", "collapsed classes", "rate and distortion"]
)
def test_two_figures_of_the_same_data_are_the_same_bytes_whatever_the_callers_style(tmp_path, name):
    visualization.save_figure(FIGURES[name](), tmp_path / "a.png")
    with matplotlib.rc_context(
        {"font.family": "serif", "figure.facecolor": "black", "text.color": "red", "font.size": 30}
    ):
        before = dict(matplotlib.rcParams)
        visualization.save_figure(FIGURES[name](), tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
