import base64
import struct
from html.parser import HTMLParser

import numpy as np
import pytest

from vae_jax.runs.reporting.report_page import ReportFigure, write_report
from vae_jax.visualization import image_grid, save_figure

HOSTILE = '<script>alert(1)</script> & "it\'s" <img src=http://x.example>'


class Page(HTMLParser):
    """Elements with their attributes, and text, as a browser would show them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # every element is closed, in order

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def pngs(tmp_path):
    paths = []
    for index in range(2):
        path = tmp_path / f"figure{index}.png"
        save_figure(image_grid(np.random.default_rng(index).random((4, 28, 28, 1))), path)
        paths.append(path)
    return paths


def report(tmp_path, *, title="A run", summary=None, config=None, figures=()):
    path = tmp_path / "report.html"
    write_report(path, title=title, summary=summary or {}, config=config or {}, figures=figures)
    return path.read_text(encoding="utf-8")


def test_every_figure_is_inside_with_its_exact_bytes_its_size_and_its_words(tmp_path, pngs):
    figures = [
        ReportFigure("first", "First title", "First caption.", pngs[0]),
        ReportFigure("second", "Second title", "Second caption.", pngs[1]),
    ]
    page = Page(report(tmp_path, figures=figures))
    images = page.all("img")
    assert [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in images] == [
        path.read_bytes() for path in pngs
    ]
    assert [image["alt"] for image in images] == ["First title. First caption.", "Second title. Second caption."]
    for image, path in zip(images, pngs, strict=True):
        pixels = struct.unpack(">II", path.read_bytes()[16:24])
        assert (int(image["width"]), int(image["height"])) == pytest.approx((pixels[0] / 2, pixels[1] / 2), abs=0.5)
    assert [link["href"] for link in page.all("a")] == ["#first", "#second"]
    assert [section.get("id") for section in page.all("section")] == ["first", "second"]


def test_hostile_text_stays_text_and_nothing_is_loaded_from_outside(tmp_path, pngs):
    text = report(
        tmp_path,
        title=HOSTILE,
        summary={"experiment": HOSTILE, "command": HOSTILE, "versions": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE},
        config={HOSTILE: HOSTILE},
        figures=[ReportFigure(HOSTILE, HOSTILE, HOSTILE, path) for path in pngs[:1]],
    )
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "b"})
    assert page.text.count(" ".join(HOSTILE.split())) >= 8
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    (style,) = [part.split("</style>")[0] for part in text.split("<style>")[1:]]
    assert "url(" not in style and "@import" not in style and "//" not in style
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_the_key_numbers_come_first_with_their_units(tmp_path):
    summary = {
        "experiment": "vae",
        "data": "digits",
        "seeds": [0, 1],
        "steps": 20000,
        "device": "one CPU",
        "negative_elbo": np.float32(104.125),
        "rate": 24.9,
        "distortion": 79.225,
        "nll": 98.7,
        "nll_standard_error": 0.351,
        "active_units": 14,
        "wall_seconds": 312.4,
        "codes_used": 511,
        "versions": {"jax": "0.10.1"},
        "command": "python -m experiments.vae --seed 0",
    }
    text = Page(report(tmp_path, summary=summary, config={"model": {"latent": 20}, "seed": 0, "empty": {}})).text
    expected = [
        "vae on digits, seeds 0, 1, 20,000 training steps, one CPU",
        "Negative ELBO 104.12 nats per image",
        "Rate (KL) 24.90 nats per image",
        "Negative log-likelihood 98.70 \N{PLUS-MINUS SIGN} 0.35 nats per image (\N{PLUS-MINUS SIGN} s.e.)",
        "Active units 14 latent dimensions",
        "Wall time 5.2 minutes",
        "Other results codes_used 511",
        "Configuration model.latent 20 seed 0 empty {}",
        "Versions jax 0.10.1",
        "Run it again python -m experiments.vae --seed 0",
    ]
    places = [text.find(each) for each in expected]
    assert -1 not in places and places == sorted(places), dict(zip(expected, places, strict=True))


def test_the_findings_are_said_below_the_numbers_and_a_warning_as_one(tmp_path):
    summary = {"posterior_collapse": "17 of 20 dimensions are used.", "nll_warning": "Take more <samples>", "nll": 98.7}
    text = Page(report(tmp_path, summary=summary)).text
    places = [text.find(each) for each in ("98.70", "17 of 20 dimensions are used.", "Caution: Take more <samples>")]
    assert -1 not in places and places == sorted(places)
    assert "Other results" not in text
    assert "Caution" not in Page(report(tmp_path, summary=summary | {"nll_warning": None})).text


def test_other_results_have_words_an_error_beside_them_and_no_more_digits_than_they_deserve(tmp_path):
    summary = {
        "total_correlation": 19.805591583251953,
        "total_correlation_standard_error": 0.16395854582956673,
        "dimension_wise_kl": None,
        "dimension_wise_kl_standard_error": None,
        "kl_per_dimension": [1.25, 0.75],
        "evaluation_device": "one CPU",
        "bdmc_lower_bound": -200.757,
        "ceiling": {"mig": 0.12345678},
    }
    text = Page(report(tmp_path, summary=summary)).text
    assert "total correlation of the aggregate posterior, nats 19.81 \N{PLUS-MINUS SIGN} 0.16" in text
    assert "dimension-wise KL of the aggregate posterior, nats not defined" in text
    assert "device of the latest evaluation one CPU" in text
    assert "simulated images, nats \N{MINUS SIGN}200.76" in text
    assert "ceiling.mutual information gap (MIG) 0.123" in text
    assert "standard_error" not in text
    assert "kl_per_dimension" not in text and "1.25" not in text  # drawn instead


def test_active_units_of_several_layers_share_a_tile(tmp_path):
    text = Page(report(tmp_path, summary={"active_units": [78, 5]})).text
    assert "Active units 78, 5 latent dimensions, layer by layer" in text


def test_an_empty_summary_is_no_error(tmp_path):
    page = Page(report(tmp_path))
    assert page.text == "A run A run"  # the window's title and the heading
    assert page.open == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 seconds"), (60, "60.0 seconds"), (600, "10.0 minutes"), (7380, "2:03 hours")]
)
def test_wall_time_has_a_fitting_unit(tmp_path, seconds, text):
    assert f"Wall time {text}" in Page(report(tmp_path, summary={"wall_seconds": seconds})).text


def test_the_same_input_gives_the_same_bytes(tmp_path, pngs):
    figures = [ReportFigure("a", "A", "B", pngs[0])]
    assert report(tmp_path, figures=figures) == report(tmp_path, figures=figures)


def test_a_failure_leaves_the_old_report_and_no_other_file(tmp_path, pngs, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    before = sorted(tmp_path.iterdir())

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_report(path, title="x", summary={}, config={}, figures=[])
    assert path.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_figures_are_refused(tmp_path, pngs):
    twice = [ReportFigure("same", "A", "B", pngs[0])] * 2
    with pytest.raises(ValueError, match=r"figures must have different names.*same"):
        report(tmp_path, figures=twice)
    gif = tmp_path / "bad.gif"
    gif.write_bytes(b"GIF89a" + bytes(40))
    with pytest.raises(ValueError, match="'bad' must be a PNG"):
        report(tmp_path, figures=[ReportFigure("bad", "A", "B", gif)])
    with pytest.raises(FileNotFoundError):
        report(tmp_path, figures=[ReportFigure("gone", "A", "B", tmp_path / "gone.png")])


def test_several_models_have_a_row_each_and_their_deviation_beside_the_mean(tmp_path):
    models = [
        {"seed": 3, "best_epoch": 7, "negative_elbo": 100.25, "negative_elbo_standard_error": 0.5, "diverged": None},
        {"seed": 4, "best_epoch": 9, "negative_elbo": None, "diverged": None},
    ]
    summary = {"seeds": [3, 4], "negative_elbo": 100.25, "negative_elbo_standard_deviation": 1.5, "models": models}
    write_report(tmp_path / "r.html", title="t", summary=summary | {"shown_seed": 3}, config={}, figures=[])
    text = (tmp_path / "r.html").read_text()
    row = "<tr><td>3</td><td>7</td><td>100.25 \N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}0.50</td></tr>"
    assert f"<tbody>{row}<tr><td>4</td><td>9</td><td></td></tr></tbody>" in text
    assert '100.25 <span class="error">\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}1.50</span>' in text
    assert "s.d. of the models" in text
    assert "The figures show the model of seed 3." in text
    assert "seeds 3, 4" in text
    assert "Diverged" not in text
